"""Making a release: one map over the files of current utterances, then one record that names the result."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake import layout
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.reader import LakeReader
from lake.releases import create_release, current_version, newest_version, put_index_part, read_release
from pipelines.export.croissant import croissant_of_release
from pipelines.release.account import added, allowed, attrition, by_reason, numbered, share
from pipelines.release.audit import write_audit_rows
from pipelines.release.index import Span, spans, stale_names, write_part
from pipelines.release.ledger import ledger_tables, people_in
from pipelines.release.select import Receipt, Selector, Task
from pipelines.release.where import Where, own_columns, read_where
from pipelines.snapshot_rows import RowSet
from pipelines.uses import check_terms
from schemas.consent import TERMS, Use
from schemas.errors import AlreadyExists, ConfigError, RunStopped
from schemas.instants import to_text
from schemas.records import StoredObject
from schemas.releases import Demands, ReleaseRecord, Share
from transforms.consent_table import Asked, ask

if TYPE_CHECKING:
    import pyarrow as pa

_RACES = 20
TASK_ROWS = 1_000_000
"""Small parts of the tail are taken together up to so many rows."""
PART_ROWS = 250_000
"""A part of the index is full with so many rows, and takes the rest of its last shard."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for. `at` None: now, or the newest event's instant if that is later."""

    name: str
    use: Use
    where: str | None = None
    demands: Demands = field(default_factory=Demands)
    at: datetime | None = None
    if_changed: bool = False
    """Make no version that would be the newest one over again."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A request read and put to the ledger: what is needed to choose."""

    reader: LakeReader
    asked: Asked
    where: Where
    position: int
    at: datetime
    vocabulary_version: str | None
    stale: pa.Table
    """`recording_id` and `run_id` of rows that are not current."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The account of a choice."""

    considered: Considered
    cells: pa.Table

    @property
    def last(self) -> int:
        """The step after which everything matches that `where` asks for."""
        return len(self.considered.where.clauses)

    def after(self, step: int) -> Share:
        return share(self.cells, step)

    @property
    def allowed(self) -> Share:
        return share(allowed(self.cells), self.last)

    @property
    def denied(self) -> dict[str, Share]:
        return by_reason(self.cells, self.last)


def consider(lake: Lake, wanted: Wanted, reader: LakeReader | None = None, position: int | None = None) -> Considered:
    """Reads the ledger, to its head or to `position`, and asks every grant for the use.

    Raises ConfigError for a use that is over or speaks unknown terms and for a condition that is none, ConsentError
    where the ledger cannot be read.
    """
    reader = reader or LakeReader(lake)
    where = read_where(lake, wanted.where, own_columns(_schemas(reader)))
    # A ledger that is shorter than what the lake's rows were decided on has lost events, perhaps withdrawals.
    lake.ledger().expect(_last_position(reader))
    tables, newest = ledger_tables(lake, position, lambda: people_in(reader))
    at = wanted.at or max(datetime.now(UTC), newest or datetime.min.replace(tzinfo=UTC))
    if wanted.at is None and at > wanted.use.until:
        raise ConfigError(f"the use was over at {to_text(wanted.use.until)}; `until` must lie ahead")
    if tables.vocabulary is not None:
        check_terms(wanted.use, tables.vocabulary, "the use")
    elif any(getattr(wanted.use, term) != "any" for term in TERMS):
        raise ConfigError(
            f"the ledger of {lake.root.uri} has no vocabulary, so it knows no term but `any`; "
            f"`provoice consent vocabulary {lake.root.uri} configs/vocabulary` brings the shipped one"
        )
    version = tables.vocabulary.version if tables.vocabulary else None
    asked = ask(wanted.use, tables, at)
    return Considered(reader, asked, where, tables.position, at, version, reader.stale())


def preview(lake: Lake, wanted: Wanted) -> Chosen:
    """What a release would hold; writes nothing."""
    considered = consider(lake, wanted)
    return Chosen(considered, _added(considered, list(_run(considered, None))))


def create(lake: Lake, wanted: Wanted) -> tuple[Chosen, ReleaseRecord | None]:
    """Makes the next version of the release; None where nothing would be in it, and then nothing is written.

    With `wanted.if_changed`, the current version is returned where it was asked for in the same words and holds the
    same rows for the same reasons.
    """
    for _ in range(_RACES):
        considered = consider(lake, wanted)
        with tempfile.TemporaryDirectory(prefix="provoice-release-") as folder:
            receipts = sorted(_run(considered, Path(folder)), key=lambda one: one.number)
            chosen = Chosen(considered, _added(considered, receipts))
            if not chosen.allowed.utterances:
                return chosen, None
            version = newest_version(lake, wanted.name) + 1
            with ThreadPoolExecutor(1, "release-account") as pool:
                account = pool.submit(_account, chosen)
                same = _same(lake, wanted, considered, receipts, Path(folder))
                if same is not None:
                    return chosen, same
                index = _put_index(considered, receipts, wanted.name, version, Path(folder))
                audit = write_audit_rows(lake, wanted.name, version, index)
            try:
                record = create_release(lake, _record(wanted, considered, version, index, audit, account.result()))
            except AlreadyExists:
                continue  # another took the version: choose again, as of now
            _describe(lake, record)
            return chosen, record
    raise RunStopped(f"others took every version of {wanted.name} in {_RACES} tries; start the command once more")


def tasks(reader: LakeReader) -> Iterator[Task]:
    """The files to choose from: merged ones each by itself, parts of units since the snapshot some together."""
    number = 0
    for file in reader.merged("utterances"):
        yield Task(number, (file.path,), file.rows)
        number += 1
    paths: list[str] = []
    rows = 0
    for part in reader.parts("utterances"):
        paths.append(part.path)
        rows += part.rows
        if rows >= TASK_ROWS:
            yield Task(number, tuple(paths), rows)
            number, paths, rows = number + 1, [], 0
    if paths:
        yield Task(number, tuple(paths), rows)


def _run(considered: Considered, folder: Path | None) -> Iterator[Receipt]:
    reader = considered.reader
    selector = Selector(reader.lake, considered.asked, considered.where, RowSet(considered.stale), folder)
    with _threads() as pool:
        yield from pool.map(selector.run, tasks(reader))


def _put_index(
    considered: Considered, receipts: Sequence[Receipt], name: str, version: int, folder: Path
) -> tuple[StoredObject, ...]:  # fmt: skip
    batches = [batch for receipt in receipts for batch in receipt.batches]
    stale = stale_names(considered.stale)

    def put(span: Span) -> StoredObject:
        made = write_part(span, batches, stale, folder / f"part-{span.number:05d}.parquet")
        return put_index_part(considered.reader.lake, name, version, span.number, made)

    with _threads() as pool:
        return tuple(pool.map(put, spans(batches, PART_ROWS)))


def _same(
    lake: Lake, wanted: Wanted, considered: Considered, receipts: Sequence[Receipt], folder: Path
) -> ReleaseRecord | None:
    """The current version, if this would be it again. The index says why each row is in it, and the same choice gives
    the same bytes, so digests tell; it is compared before anything is uploaded, part by part."""
    if not wanted.if_changed or not (current := current_version(lake, wanted.name)):
        return None
    record = read_release(lake, wanted.name, current)
    asked = (record.use, record.where, record.demands)
    if record.replaced is not None or asked != (wanted.use, wanted.where, wanted.demands):
        return None
    batches = [batch for receipt in receipts for batch in receipt.batches]
    stale = stale_names(considered.stale)
    wholes = list(spans(batches, PART_ROWS))
    if len(wholes) != len(record.index):
        return None
    for span, stored in zip(wholes, record.index, strict=True):
        path, _, sha256, _ = write_part(span, batches, stale, folder / "compared.parquet")
        path.unlink()
        if sha256 != stored.sha256:
            return None
    return record


def _threads() -> ThreadPoolExecutor:
    # Threads do: reading, comparing and writing columns is done outside Python's lock.
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), "release")


def _added(considered: Considered, receipts: Sequence[Receipt]) -> pa.Table:
    return numbered(added([receipt.cells for receipt in receipts], 1 + len(considered.where.clauses)))


def _account(chosen: Chosen) -> dict[str, Any]:
    """What a release says of how it came about, by the record's own names."""
    return {
        "candidates": chosen.after(0),
        "matching": chosen.after(chosen.last),
        "chosen": chosen.allowed,
        "denied": chosen.denied,
        "attrition": attrition(chosen.cells, 0, chosen.last),
    }


def _record(
    wanted: Wanted, considered: Considered, version: int, index: tuple[StoredObject, ...], audit: StoredObject,
    account: dict[str, Any],
) -> ReleaseRecord:  # fmt: skip
    return ReleaseRecord(
        name=wanted.name,
        version=version,
        use=wanted.use,
        where=wanted.where,
        ledger_position=considered.position,
        decided_at=considered.at,
        vocabulary_version=considered.vocabulary_version,
        snapshot=considered.reader.snapshot.number if considered.reader.snapshot else None,
        index=index,
        audit=audit,
        demands=wanted.demands,
        created_at=datetime.now(UTC),
        **account,
    ).sealed()


def _describe(lake: Lake, record: ReleaseRecord) -> None:
    """`croissant.json` beside the record: made from it, so that it can be made again."""
    with contextlib.suppress(AlreadyExists):
        lake.root.create(layout.release_croissant_path(record.name, record.version), croissant_of_release(record))


def _last_position(reader: LakeReader) -> int:
    """The furthest position of the ledger that a commit was decided at."""
    found = max((commit.ledger_position for _, commit in reader.tail), default=0)
    if reader.snapshot is None:
        return found
    with reading(), open_duckdb(reader.lake.root) as connection:
        asked = f"select coalesce(max(ledger_position), 0) from {files(reader.uris([reader.snapshot.commits]))}"
        return max(found, int(connection.execute(asked).fetchall()[0][0]))


def _schemas(reader: LakeReader) -> Iterator[pa.Schema]:
    """One schema of each kind that the lake's files of utterances have."""
    import pyarrow.parquet as pq

    paths = [next(group).path for _, group in groupby(reader.merged("utterances"), key=lambda file: sorted(file.own))]
    parts = {part.run_id: part.path for part in reader.parts("utterances")}
    for path in (*paths, *parts.values()):
        with reader.lake.root.open(path) as file:
            yield pq.read_schema(file)
