"""What earlier runs of a recipe have dealt with, so that no source is planned twice and none is forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake import currency
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, quoted, reading
from lake.reader import LakeReader
from lake.runs import plan_batches
from pipelines.config import ConsentConfig
from pipelines.gate import ConsentGate, Held
from pipelines.plan import PlannedSource, planned_source
from schemas.consent import DenyReason
from schemas.errors import RETRIABLE
from schemas.ledger import Event, EventType
from schemas.records import RunRecord
from schemas.snapshots import CURRENT
from transforms.consent import fold

_MEMORY = "1GB"
DONE_SCHEMA = pa.schema([("recording_id", pa.string()), ("catalogue_row_sha256", pa.string())])

_LAST = """
select recording_id, unnest(max_by({{
    'status': status, 'reason': reason, 'catalogue_row_sha256': catalogue_row_sha256, 'run_number': run_number
}}, run_number)) from ({rows}) join ({runs}) using (run_id) group by recording_id
"""
_NOT_NOW = ", ".join(map(quoted, sorted(RETRIABLE)))
_DONE = f"""
select recording_id, catalogue_row_sha256 from last
where status = 'emitted' or (status = 'rejected' and coalesce(reason, '') not in ({_NOT_NOW}))
"""
_CHANGED = """
select p.source_root, p.source_path, p.catalogue_row_sha256 as digest, b.catalogue_row_sha256 as before
from read_parquet({plan}, file_row_number = true) p join before b using (recording_id)
where p.catalogue_row_sha256 is distinct from b.catalogue_row_sha256 order by p.file_row_number
"""


def done_sources(lake: Lake, runs: Sequence[RunRecord], recipe_sha256: str, consent: ConsentConfig) -> pa.Table:
    """Sources, each with the catalogue row it was done with, that a new plan leaves out: emitted, finally rejected,
    held by the same decision as before, or still held open by an unfinished run of this recipe.

    The last run's word on a recording counts.
    """
    reader = LakeReader(lake)
    own = [run for run in runs if run.recipe_sha256 == recipe_sha256]
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        rows = _committed(reader, own, "recording_id, run_id, status, reason, catalogue_row_sha256")
        connection.execute(f"create table last as {_LAST.format(rows=rows, runs=currency.runs_sql(own))}")
        done = connection.sql(_DONE).to_arrow_table().cast(DONE_SCHEMA)
        held = connection.sql("select recording_id, reason, run_number from last where status = 'held'").fetchall()
        last_of = "select recording_id, run_number from last where run_number > $1"
        open_runs = _open_runs(reader, own)
        later = dict(connection.execute(last_of, [min(open_runs, default=0)]).fetchall()) if open_runs else {}
    waiting = _held_or_waiting(lake, own, held, open_runs, later, consent)
    if not waiting:
        return done
    others = done.filter(pc.invert(pc.is_in(done["recording_id"], pa.array(waiting, pa.string()))))
    return pa.concat_tables([others, pa.table([list(waiting), list(waiting.values())], schema=DONE_SCHEMA)])


def _open_runs(reader: LakeReader, own: Sequence[RunRecord]) -> dict[int, set[str]]:
    """Numbers of the runs that still hold what they have not committed, with the units that they have."""
    closed = {run.run_id for run in reader.snapshot.runs if run.is_closed} if reader.snapshot else set()
    waiting = (run for run in own if not run.is_closed and run.run_id not in closed)
    committed = ((run, reader.committed_units(run)) for run in waiting)
    return {run.number: units for run, units in committed if len(units) < run.units}


def _held_or_waiting(
    lake: Lake,
    own: Sequence[RunRecord],
    held: Sequence[tuple[str, str, int]],
    open_runs: Mapping[int, Container[str]],
    later: Mapping[str, int],
    consent: ConsentConfig,
) -> dict[str, str | None]:
    """Sources that are held as before, or wait in a run that is open: recording to the catalogue row of its plan."""
    found: dict[str, str | None] = {}
    reasons: dict[int, dict[str, str]] = {}
    for name, reason, number in held:
        reasons.setdefault(number, {})[name] = reason
    gate: ConsentGate | None = None
    for run in (run for run in own if run.number in reasons or run.number in open_runs):
        gate = gate or ConsentGate(lake.ledger(), consent)
        asked = reasons.get(run.number, {})
        for batch in _planned(lake, run):
            gate.announce(planned for _, planned in batch if planned.source.recording_id in asked)
            gate.refresh()
            for unit_id, planned in batch:
                name = planned.source.recording_id
                waits = run.number in open_runs and unit_id not in open_runs[run.number]
                if waits and later.get(name, 0) > run.number:
                    continue  # a later run has had it, and its word counts
                if waits or (name in asked and _is_still_held(gate, planned, asked[name])):
                    found[name] = planned.catalogue_row_sha256
    return found


def _committed(reader: LakeReader, runs: Sequence[RunRecord], columns: str) -> str:
    """A query for these columns of all rows of `recordings`, superseded ones too, in files that hold some of `runs`."""
    numbers, ids = {run.number for run in runs}, {run.run_id for run in runs}
    kinds = ("recordings", CURRENT["recordings"])
    merged = [f for kind in kinds for f in reader.merged(kind) if not numbers.isdisjoint(f.run_numbers)]
    uris = reader.uris(merged) + [part.uri for part in reader.parts("recordings") if part.run_id in ids]
    if not uris:
        return f"select {', '.join(f'null::varchar as {name}' for name in columns.split(', '))} limit 0"
    return f"select {columns} from {files(uris)}"


def _planned(lake: Lake, run: RunRecord) -> Iterator[list[tuple[str, PlannedSource]]]:
    for batch in plan_batches(lake, run):
        yield [(row["unit_id"], planned_source(row)) for row in batch.to_pylist()]


def _is_still_held(gate: ConsentGate, planned: PlannedSource, reason: str) -> bool:
    """A voice that nobody named stays until the catalogue changes, and what was erased for good; anything else is asked
    again."""
    if reason in (DenyReason.EXTRA_VOICE, DenyReason.SUPPRESSED):
        return True
    answer = gate.ask(planned)
    return isinstance(answer, Held) and answer.reason == reason


def announce_changes(lake: Lake, runs: Sequence[RunRecord], plan_path: Path) -> int:
    """Appends a `catalogue_changed` event for every planned source whose committed row was made with another catalogue
    row: from then on the old row is denied. Returns how many."""
    changed = _with_another_row(lake, runs, plan_path)
    if not changed:
        return 0
    ledger = lake.ledger()
    known = fold(ledger.events_about((), {(root, path) for root, path, *_ in changed})).catalogue_rows
    events: list[Event] = []
    for root, path, digest, before in changed:
        if known.get((root, path), before) != digest:
            events.append(_changed(root, path, digest, ledger.head() + len(events)))
    if events:
        ledger.append(events)
    return len(events)


def _with_another_row(
    lake: Lake, runs: Sequence[RunRecord], plan_path: Path
) -> list[tuple[str, str, str | None, str | None]]:
    """Planned sources that were last emitted with another catalogue row: root, path, digest now, and before."""
    rows = _committed(LakeReader(lake), runs, "recording_id, run_id, status, reason, catalogue_row_sha256")
    emitted = f"from ({rows}) where status = 'emitted'"
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        connection.execute(f"create table before as {_LAST.format(rows=emitted, runs=currency.runs_sql(runs))}")
        return connection.execute(_CHANGED.format(plan=quoted(str(plan_path)))).fetchall()


def _changed(root: str, path: str, digest: str | None, position: int) -> Event:
    content = repr((root, path, digest, position)).encode("utf-8", "surrogateescape")
    return Event(
        event_id=hashlib.sha256(content).hexdigest()[:32],
        type=EventType.CATALOGUE_CHANGED,
        recorded_at=datetime.now(UTC),
        source_root=root,
        source_path=path,
        catalogue_row_sha256=digest,
    )
