"""A release looked at again: are its bytes as written, would the same be decided, and what holds by now?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lake import currency
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.reader import LakeReader
from lake.releases import changed_parts, index_table
from pipelines.release.ledger import ledger_tables, people_of
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA
from schemas.releases import ReleaseRecord, Share
from schemas.snapshots import CURRENT
from transforms.consent_table import decide_table

if TYPE_CHECKING:
    import duckdb

NOBODY = "erased"
"""In place of a run, where none has anything of a recording any more."""
_SHOWN = 5
_MEMORY = "2GB"
_NOW = """
with known as ({known}), stale as ({stale}),
current as (from known anti join stale using (recording_id, run_id))
select a.n, any_value(c.run_id) as run_id
from asked a left join known k using (recording_id, run_id)
left join current c on c.source_root = k.source_root and c.source_path = k.source_path
group by a.n order by a.n
"""
_UNLIKE = """
select i.key from {index} i join (
    select key, lineage.run_id as run_id, recording_id, audio_sha256, duration_s, consent_complete, collected_at,
           list_sort(list_distinct([link.subject_id for link in consent])) as people,
           lineage.catalogue_row_sha256 as catalogue_row_sha256
    from {utterances}
) u using (key, run_id)
where (i.recording_id, i.audio_sha256, i.duration_s, i.complete, i.collected_at, i.catalogue_row_sha256,
       list_sort(list_distinct(i.subject_ids)))
      is distinct from
      (u.recording_id, u.audio_sha256, u.duration_s, u.consent_complete, u.collected_at, u.catalogue_row_sha256,
       u.people)
order by i.key
"""
_COUNTED = ("recording_id", "run_id", "duration_s", "subject_ids")
_COLUMNS = (
    "key", "recording_id", "run_id", "duration_s", *CONSENT_RECORDS_SCHEMA.names, "justifications", "allowed_until",
)  # fmt: skip


@dataclass(frozen=True)
class Verified:
    """What was found. When `is_sound` the release is as it was made; `denied_now` is what may not be used any more."""

    release: ReleaseRecord
    changed: Sequence[str]
    """Files of the index that are not, to the byte, those that the release names."""
    miscounted: int | None
    """Rows in the index, where that is not what the release says."""
    decided_otherwise: Sequence[str]
    """Keys of rows of which the ledger's events up to the release's position say something else (the first few)."""
    decided_otherwise_total: int
    unlike: Sequence[str]
    """Keys of rows that the lake has otherwise: other people, sound, or catalogue row (the first few)."""
    unlike_total: int
    checked: Share
    position_now: int
    at: datetime
    denied_now: dict[str, Share] = field(default_factory=dict)
    replaced: Share = field(default_factory=Share)
    """Rows that are not current by now: a later run has made them anew, or they were erased."""
    replaced_by: dict[str, Share] = field(default_factory=dict)
    """The same by the run whose word on their recordings holds now; under NOBODY those of which nothing is left."""

    @property
    def is_sound(self) -> bool:
        is_otherwise = self.decided_otherwise_total or self.unlike_total
        return not self.changed and self.miscounted is None and not is_otherwise


def verify(lake: Lake, release: ReleaseRecord, at: datetime | None = None) -> Verified:
    """Decides every row again, as of the release's own position and instant, and as of now."""
    changed = changed_parts(lake, release)
    # A file that was changed or is gone is not decided on: what it says is not what was released.
    whole = release.model_copy(update={"index": tuple(part for part in release.index if part.path not in changed)})
    counted = index_table(lake, whole, _COUNTED)
    then, _ = ledger_tables(lake, release.ledger_position, lambda: people_of(counted))
    now_tables, newest = ledger_tables(lake, None, lambda: people_of(counted))
    now = at or max(datetime.now(UTC), newest or datetime.min.replace(tzinfo=UTC))
    reasons: list[pa.Array] = []
    otherwise: list[str] = []
    for part in whole.index:
        # A file at a time: what was decided takes more memory than what was decided on.
        rows = index_table(lake, release.model_copy(update={"index": (part,)}), _COLUMNS)
        records = rows.select(CONSENT_RECORDS_SCHEMA.names)
        differs = _differs(rows, decide_table(records, release.use, then, release.decided_at))
        otherwise += rows["key"].filter(pa.array(differs)).to_pylist()
        reasons += decide_table(records, release.use, now_tables, now)["reason"].chunks
    reader = LakeReader(lake)
    gone = counted.filter(pa.array(~is_current(reader, counted)))
    unlike = _unlike(reader, whole)
    is_whole = not changed and counted.num_rows != release.chosen.utterances
    return Verified(
        release=release,
        changed=changed,
        miscounted=counted.num_rows if is_whole else None,
        decided_otherwise=otherwise[:_SHOWN],
        decided_otherwise_total=len(otherwise),
        unlike=unlike[:_SHOWN],
        unlike_total=len(unlike),
        checked=share_of(counted),
        position_now=now_tables.position,
        at=now,
        denied_now=shares_by(counted, pa.chunked_array(reasons, pa.string())),
        replaced=share_of(gone),
        replaced_by=shares_by(gone, _now_of_run(reader, gone)),
    )


def share_of(rows: pa.Table) -> Share:
    """Utterances, audio and people in rows of an index."""
    people = pc.unique(pc.list_flatten(rows["subject_ids"])).drop_null()
    seconds = float(np.round(np.nansum(np.asarray(rows["duration_s"].fill_null(0.0))), 6))
    return Share(utterances=rows.num_rows, audio_s=seconds, people=len(people))


def shares_by(rows: pa.Table, reasons: pa.ChunkedArray) -> dict[str, Share]:
    """The rows of each reason that is not null, most audio first."""
    found = {
        reason: share_of(rows.filter(pc.fill_null(pc.equal(reasons, reason), False)))
        for reason in pc.unique(reasons).drop_null().to_pylist()
    }
    return dict(sorted(found.items(), key=lambda one: (-one[1].audio_s, one[0])))


def is_current(reader: LakeReader, rows: pa.Table) -> NDArray[np.bool_]:
    """Which rows of an index (`recording_id`, `run_id`) are current in the lake now."""
    query = f"""
    select n from asked semi join ({_recordings(reader, ["recordings"])}) using (recording_id, run_id)
    anti join ({_stale(reader)}) using (recording_id, run_id)
    """
    with _asking(reader, rows) as connection:
        places = np.asarray(connection.sql(query).to_arrow_table()["n"])
    found = np.zeros(rows.num_rows, dtype=np.bool_)
    found[places] = True
    return found


def _now_of_run(reader: LakeReader, rows: pa.Table) -> pa.ChunkedArray:
    """For each row the run whose word on its source holds now; NOBODY where there is none."""
    known = _recordings(reader, ["recordings", CURRENT["recordings"]])
    with _asking(reader, rows) as connection:
        found = connection.sql(_NOW.format(known=known, stale=_stale(reader))).to_arrow_table()["run_id"]
    return pc.fill_null(found.cast(pa.string()), NOBODY)


def _unlike(reader: LakeReader, release: ReleaseRecord) -> list[str]:
    """Keys of rows of the index that the lake, where it still has them, has otherwise."""
    kinds = ("utterances", CURRENT["utterances"])
    uris = [uri for kind in kinds for uri in reader.uris(reader.merged(kind))]
    uris += [part.uri for part in reader.parts("utterances")]
    if not uris or not release.index:
        return []
    with reading(), open_duckdb(reader.lake.root, _MEMORY) as connection:
        query = _UNLIKE.format(index=files(reader.uris(release.index)), utterances=files(uris))
        return [key for (key,) in connection.execute(query).fetchall()]


def _recordings(reader: LakeReader, kinds: Sequence[str]) -> str:
    merged = [uri for kind in kinds for uri in reader.uris(reader.merged(kind))]
    return currency.rows_of([*merged, *(part.uri for part in reader.parts("recordings"))])


def _stale(reader: LakeReader) -> str:
    return reader.stale_sql() or f"select recording_id, run_id from ({currency.rows_of([])})"


@contextmanager
def _asking(reader: LakeReader, rows: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that has the rows' recordings as `asked`, numbered."""
    asked = pa.table({"n": np.arange(rows.num_rows), "recording_id": rows["recording_id"], "run_id": rows["run_id"]})
    with reading(), open_duckdb(reader.lake.root) as connection:
        connection.register("asked", asked)
        yield connection


def _differs(rows: pa.Table, again: pa.Table) -> NDArray[np.bool_]:
    """Rows that would not be chosen for the same grants and rules, and until the same instant."""
    same: NDArray[np.bool_] = np.asarray(again["allowed"]) & np.asarray(
        pc.fill_null(pc.equal(again["allowed_until"], rows["allowed_until"]), False)
    )
    then, now = rows["justifications"].combine_chunks(), again["justifications"].combine_chunks()
    counts = pc.list_value_length(then).fill_null(-1), pc.list_value_length(now).fill_null(-1)
    same &= np.asarray(pc.equal(*counts))
    if not same.any():
        return ~same
    kept = pa.array(same)
    left, right = then.filter(kept), now.filter(kept)
    equal = np.ones(len(left.flatten()), dtype=np.bool_)
    for field_ in left.type.value_type:
        equal &= np.asarray(
            pc.fill_null(pc.equal(left.flatten().field(field_.name), right.flatten().field(field_.name)), False)
        )
    parents = np.asarray(pc.list_parent_indices(left))
    whole = np.ones(len(left), dtype=np.bool_)
    np.logical_and.at(whole, parents, equal)
    same[np.flatnonzero(same)] = whole
    return ~same
