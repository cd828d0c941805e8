"""Many events into the ledger: all of them checked before the first is appended, and each only once.

What is on disk is compared by DuckDB, not held in memory: which events the ledger has already, which the files say
twice, and which contradict a grant. An import that was interrupted, run again, appends only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake.ledger import MAX_SEGMENT_EVENTS, Ledger
from lake.parquet_sql import open_duckdb, quoted
from lake.projection_files import NAMES_SCHEMA
from lake.storage import Root
from pipelines.import_staging import Staging, text_of, words_of
from pipelines.vocabulary import shipped, vocabulary_event
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "500MB"
"""Of DuckDB, which spills beyond."""
_ASKED_AT_ONCE = 5_000

Report = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much (0: unknown)."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed, or would change."""

    events: int
    known: int
    """Events that the ledger held already, or that the files say twice."""
    by_type: dict[EventType, int] = field(default_factory=dict)
    people: int = 0
    vocabulary: str | None = None
    """Version of the vocabulary that came with it, for the ledger had none."""
    position: int = 0


def import_events(
    files: Sequence[Path],
    ledger: Callable[[], Ledger] | None,
    now: datetime,
    *,
    dry_run: bool = False,
    report: Report = lambda *_: None,
) -> Imported:
    """Appends what is new in `files`. `ledger` is asked for once every line is known to be sound; None: none is there.

    Raises ConfigError naming file and line: of a line that is no event, of a grant that the ledger or an earlier line
    has with other words, of an event about a grant that is nobody's or another's. Then nothing was written.
    """
    opened: Ledger | None = None
    with TemporaryDirectory(prefix="provoice-import-") as folder:
        staging = Staging(Path(folder))
        staging.fill(files, now, lambda done: report("checked", done, 0))
        if ledger is not None:
            opened = ledger()
        with closing(open_duckdb(Root(folder), MEMORY_LIMIT)) as sql:
            sql.execute(f"set temp_directory = {quoted(str(Path(folder, 'spill')))}")
            compared = _Comparison(staging, opened, sql, Path(folder))
            report("comparing", 0, 0)
            skipped = compared.skipped()
            compared.refuse_contradictions()
            found = compared.account(len(skipped))
        vocabulary = None if compared.has_vocabulary() else shipped()
        done = Imported(**found, vocabulary=vocabulary.version if vocabulary else None)
        if dry_run or opened is None:
            return done
        first = [] if vocabulary is None else [text_of(vocabulary_event(vocabulary, now))]
        _append(opened, first, staging.texts(skipped), done.events, report)
    report("projecting", 0, 0)
    opened.project()
    return replace(done, position=opened.head())


def _append(ledger: Ledger, lines: list[bytes], more: Iterable[list[bytes]], events: int, report: Report) -> None:
    total = len(lines) + events
    for some in more:
        lines += some
        while len(lines) >= MAX_SEGMENT_EVENTS:
            ledger.append_lines(lines[:MAX_SEGMENT_EVENTS])
            lines = lines[MAX_SEGMENT_EVENTS:]
            report("appended", ledger.position, total)
    if lines:
        ledger.append_lines(lines)


class _Comparison:
    """Staged events beside each other and beside the ledger."""

    def __init__(self, staging: Staging, ledger: Ledger | None, sql: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.staging, self.ledger, self.sql = staging, ledger, sql
        sql.execute(f"create view staged as from read_parquet({quoted(str(staging.narrow))})")
        taken = folder / "taken.parquet"
        with pq.ParquetWriter(taken, NAMES_SCHEMA, compression="none") as writer:
            for batch in ledger.taken_names() if ledger is not None else ():
                writer.write_batch(batch.cast(NAMES_SCHEMA))
        sql.execute(f"create view taken as from read_parquet({quoted(str(taken))})")

    def skipped(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Numbers of the events that are there already, sorted."""
        self.sql.execute(
            "create temp table twice as select e_high, e_low, min(n) as first from staged group by all "
            "having count(*) > 1"
        )
        self.sql.execute(
            "create temp table skipped as select n from staged semi join taken on e_high = high and e_low = low "
            "union select n from staged join twice using (e_high, e_low) where n > first"
        )
        self.sql.execute("create view fresh as from staged anti join skipped using (n)")
        found = self.sql.sql("select n from skipped order by n").to_arrow_table()
        return np.asarray(found["n"].to_numpy(), np.int64)

    def refuse_contradictions(self) -> None:
        """Raises ConfigError for the first fresh event that contradicts a grant."""
        self.sql.execute(
            "create temp table firsts as select g_high, g_low, min(n) as first, arg_min(words, n) as words, "
            "arg_min(subject_id, n) as owner, min(words) <> max(words) as differs "
            "from fresh where type = 'given' group by g_high, g_low"
        )
        self.sql.execute(
            "create temp table of_ledger as select n, type, subject_id, grant_id, words from fresh "
            "semi join taken on g_high = high and g_low = low where grant_id is not null"
        )
        faults = [fault for fault in (self._reworded(), self._unheard_of(), self._anothers(), self._against_ledger())
                  if fault is not None]  # fmt: skip
        if faults:
            n, said = min(faults)
            raise ConfigError(f"{self._where(n)}: {said}")

    def _reworded(self) -> tuple[int, str] | None:
        rows = self._rows(
            "select n, first from fresh join firsts using (g_high, g_low) anti join of_ledger using (n) "
            "where type = 'given' and differs and fresh.words <> firsts.words order by n"
        )
        for n, first in rows:
            event, before = self.staging.event(n), self.staging.event(first)
            if event.grant != before.grant:
                return n, f"grant {event.grant_id} stands at {self._where(first)} with other words; {_NEVER_EDITED}"
        return None

    def _unheard_of(self) -> tuple[int, str] | None:
        row = self._row(
            "select n from fresh left join firsts using (g_high, g_low) anti join of_ledger using (n) "
            "where type <> 'given' and grant_id is not null and (first is null or first > n) order by n limit 1"
        )
        return None if row is None else (row[0], f"{self._said(row[0])}, which is not in the ledger")

    def _anothers(self) -> tuple[int, str] | None:
        row = self._row(
            "select n, subject_id, owner from fresh join firsts using (g_high, g_low) anti join of_ledger using (n) "
            "where type <> 'given' and first < n and subject_id <> owner order by n limit 1"
        )
        return None if row is None else (row[0], f"{self._said(row[0])}, which is not {row[1]}'s but {row[2]}'s")

    def _against_ledger(self) -> tuple[int, str] | None:
        """The first that contradicts a grant of the ledger, which is asked about some people at a time."""
        fault: tuple[int, Event] | None = None
        rows = self.sql.sql(
            "select n, type, subject_id, grant_id, words from of_ledger where subject_id is not null "
            "order by subject_id, n"
        ).to_arrow_reader(_ASKED_AT_ONCE)
        for batch in rows:
            asked = batch.to_pylist()
            theirs = self._grants_of({row["subject_id"] for row in asked})
            for row in asked:
                held = theirs.get((row["subject_id"], row["grant_id"]))
                if (fault is None or row["n"] < fault[0]) and not _agrees(row, held):
                    event = self.staging.event(row["n"])
                    # What stands behind the grant in its line may differ, the grant's own words may not.
                    if held is None or (event.grant is not None and event.grant != held.grant):
                        fault = row["n"], event
        if fault is None:
            return None
        n, event = fault
        if event.grant is not None:
            return n, f"grant {event.grant_id} is in the ledger with other words; {_NEVER_EDITED}"
        return n, f"{self._said(n)}, which is not {event.subject_id}'s but {self._owner(event.grant_id)}'s"

    def _grants_of(self, subjects: set[str]) -> dict[tuple[str, str], Event]:
        if self.ledger is None:
            return {}
        given = (event for _, event in self.ledger.events_about(subjects, ()) if event.type is EventType.GIVEN)
        return {(event.subject_id or "", event.grant_id or ""): event for event in given}

    def _owner(self, grant_id: str | None) -> str:
        batches: Iterator[Any] = iter(())
        if self.ledger is not None:
            batches = self.ledger.events_batches(["type", "grant_id", "subject_id"])
        for batch in batches:
            wanted = pc.and_(pc.equal(batch["grant_id"], grant_id), pc.equal(batch["type"], EventType.GIVEN.value))
            for subject in batch.filter(wanted)["subject_id"].to_pylist():
                return str(subject)
        return "another"

    def account(self, skipped: int) -> dict[str, Any]:
        """What is fresh, in figures."""
        counts = dict(self._rows("select type, count(*) from fresh group by type"))
        row = self._row("select count(distinct subject_id) from fresh")
        return {
            "events": sum(counts.values()),
            "known": skipped,
            "by_type": {kind: counts[kind.value] for kind in EventType if kind.value in counts},
            "people": row[0] if row else 0,
        }

    def has_vocabulary(self) -> bool:
        """Whether the files bring a vocabulary, or the ledger has one."""
        if pq.read_table(self.staging.narrow, columns=["n"], filters=[("type", "==", "vocabulary")]).num_rows:
            return True
        return self.ledger is not None and next(self.ledger.events_about((), ()), None) is not None

    def _said(self, n: int) -> str:
        event = self.staging.event(n)
        return f"event {event.event_id} (`{event.type}`) speaks about grant {event.grant_id}"

    def _where(self, n: int) -> str:
        file, line = self._rows(f"select file, line from staged where n = {n}")[0]
        return f"{self.staging.files[file]}, line {line}"

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.sql.sql(query).fetchall()

    def _row(self, query: str) -> tuple[Any, ...] | None:
        return next(iter(self._rows(query)), None)


_NEVER_EDITED = "a grant is never edited: withdraw it, and give a new one under a new grant_id"


def _agrees(row: Mapping[str, Any], held: Event | None) -> bool:
    """Whether a staged event plainly agrees with the grant that its subject has under that id."""
    if held is None:
        return False
    return bool(row["type"] != EventType.GIVEN or words_of(held, text_of(held)) == row["words"])
