"""Lakes with one release each, for tests of the loader: who speaks in which utterance is known."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.commits import create_commit, read_commit, read_commits
from lake.lake import Lake
from lake.parts import read_part, write_part
from lake.runs import list_runs
from lake.tar import TarWriter
from schemas.consent import TERMS, ConsentRecord, Use
from schemas.consent_tables import RELEASE_INDEX_SCHEMA
from schemas.ids import source_id
from schemas.records import StoredObject
from schemas.releases import Demands, ReleaseRecord, Share
from schemas.tables import PLACE_FIELDS, utterances_schema
from tests.builders import Made, write_run
from tests.consents import given, grant, rule, use
from transforms.consent import decide
from transforms.consent_state import fold

MADE_AT = datetime(2026, 6, 1, tzinfo=UTC)
NAME = "voices"
USE = use(until=datetime(2119, 1, 1, tzinfo=UTC), **dict.fromkeys(TERMS, "any"))
_SAME = (
    "key", "recording_id", *(column.name for column in PLACE_FIELDS), "audio_sha256", "duration_s", "collected_at",
    "grant_ids",
)  # fmt: skip


@dataclass
class Clock:
    """Tells the time that a test sets."""

    now: datetime = MADE_AT + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class VoicesLake:
    """The lake, its release, and the keys of each person's utterances in it."""

    uri: str
    lake: Lake
    release: ReleaseRecord
    keys_of: dict[str, set[str]]
    units: list[tuple[str, str]] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        return set().union(*self.keys_of.values())


def voices_lake(
    folder: Path, *, people: int = 5, units: int = 3, sources: int = 4, utterances: int = 4, text: str | None = "hello",
    ends: Mapping[str, datetime] | None = None, part_rows: int = 17, demands: Demands | None = None,
) -> VoicesLake:  # fmt: skip
    """One run of `units` × `sources` × `utterances` seconds of a tone; source n is spoken by `p{n % people}` alone,
    whose grant ends at `ends`, or with 2120. Index parts and row groups are small, so that shares cut through them."""
    lake = Lake.create_or_open(str(folder / "lake"))
    late = datetime(2120, 1, 1, tzinfo=UTC)
    names = [f"p{n}" for n in range(people)]
    lasting = (rule(durable_until=late),)
    lake.ledger().append([given(grant(n, rules=lasting, valid_until=(ends or {}).get(n, late))) for n in names])
    made = [
        [
            Made(f"u{unit}/s{n}.wav", {names[(unit * sources + n) % people]: None}, utterances, text=text)
            for n in range(sources)
        ]
        for unit in range(units)
    ]
    run = write_run(lake, folder, made, run_id="one", ledger_position=people)
    release = release_of(lake, part_rows=part_rows, demands=demands or Demands())
    keys_of: dict[str, set[str]] = defaultdict(set)
    for stored in release.index:
        for row in read_part(lake.root, stored.path, ["key", "subject_ids"]).to_pylist():
            for subject in row["subject_ids"]:
                keys_of[subject].add(row["key"])
    return VoicesLake(
        lake.root.uri, lake, release, dict(keys_of), [("one", c.unit_id) for c in read_commits(lake, run.run_id)]
    )


def release_of(
    lake: Lake, *, wanted: Use = USE, version: int = 1, part_rows: int = 17, demands: Demands | None = None
) -> ReleaseRecord:
    """Everything that is allowed, decided row by row with the whole ledger as of `MADE_AT`, as release `NAME`."""
    state = fold(lake.ledger().events())
    rows: list[dict[str, Any]] = []
    for run in list_runs(lake):
        for commit in read_commits(lake, run.run_id):
            for stored in commit.objects:
                if stored.kind == "utterances":
                    parts = read_part(lake.root, stored.path).to_pylist()
                    rows += (_chosen(row, run.run_id, commit.unit_id, wanted, state) for row in parts)
    rows = sorted((row for row in rows if row), key=lambda row: (row["shard"], row["audio_offset"]))
    stored = [
        _put_part(lake, version, number, rows[first : first + part_rows])
        for number, first in enumerate(range(0, len(rows), part_rows))
    ]
    whole = Share(utterances=len(rows))
    release = ReleaseRecord(
        name=NAME, version=version, use=wanted, ledger_position=lake.ledger().head(), decided_at=MADE_AT,
        candidates=whole, matching=whole, chosen=whole, index=tuple(stored), demands=demands or Demands(),
        created_at=MADE_AT,
    ).sealed()  # fmt: skip
    lake.root.create(layout.release_path(NAME, version), release.model_dump_json().encode())
    return release


def _chosen(row: dict[str, Any], run_id: str, unit_id: str, wanted: Use, state: Any) -> dict[str, Any]:
    lineage = row["lineage"]
    record = ConsentRecord(
        tuple(sorted(link["subject_id"] for link in row["consent"])), row["consent_complete"], lineage["source_root"],
        lineage["source_path"], row["collected_at"], tuple(row["grant_ids"] or ()), lineage["catalogue_row_sha256"],
    )  # fmt: skip
    decision = decide(record, wanted, state, MADE_AT)
    if not decision.is_allowed:
        return {}
    return {
        **{name: row[name] for name in _SAME},
        "run_id": run_id,
        "unit_id": unit_id,
        "subject_ids": list(record.subject_ids),
        "complete": record.complete,
        "source_id": source_id(record.source_root, record.source_path),
        "catalogue_row_sha256": record.catalogue_row_sha256,
        "justifications": [
            {"subject_id": j.subject_id, "grant_id": j.grant_id, "rule": j.rule, "until": j.until, "ends_at": j.ends_at}
            for j in decision.justifications
        ],
        "allowed_until": decision.allowed_until,
    }


def _put_part(lake: Lake, version: int, number: int, rows: list[dict[str, Any]]) -> StoredObject:
    columns = [pa.array([row[column.name] for row in rows], column.type) for column in RELEASE_INDEX_SCHEMA]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=RELEASE_INDEX_SCHEMA), file, row_group_size=5)
    data, sha256 = file.getvalue(), hashlib.sha256(file.getvalue()).hexdigest()
    path = layout.release_index_path(NAME, version, number, sha256)
    lake.root.put(path, data, sha256)
    return StoredObject(kind="release_index", path=path, size_bytes=len(data), sha256=sha256, rows=len(rows))


def erase(made: VoicesLake, unit: tuple[str, str], subject: str, folder: Path, *, deletes: bool = True) -> set[str]:
    """The next generation of a unit, without a person's utterances: another tar and part, and, with `deletes`, the old
    objects gone. Returns the keys of what was erased."""
    commit = read_commit(made.lake, *unit)
    assert commit is not None
    root = made.lake.root
    part = next(stored for stored in commit.objects if stored.kind == "utterances")
    rows, gone = read_part(root, part.path).to_pylist(), made.keys_of[subject]
    kept = [row for row in rows if row["key"] not in gone]
    tar = folder / f"{unit[1]}.{commit.generation + 1}.tar"
    with TarWriter(tar) as writer:
        for row in kept:
            for name, suffix in (("audio", "flac"), ("json", "json"), ("text", "txt")):
                if row[f"{name}_offset"] is not None:
                    first = row[f"{name}_offset"]
                    data = root.read(row["shard"], first, first + row[f"{name}_size"])
                    row[f"{name}_offset"] = writer.add(f"{row['key']}.{suffix}", data)
        size, sha256 = writer.close()
    shard = layout.shard_path(*unit, sha256)
    root.put(shard, tar, sha256)
    objects = [StoredObject(kind="shard", path=shard, size_bytes=size, sha256=sha256, rows=len(kept))]
    for row in kept:
        row["shard"] = shard
    again = folder / f"{unit[1]}.{commit.generation + 1}.parquet"
    size, sha256 = write_part(again, kept, utterances_schema())
    path = layout.utterances_path(*unit, sha256)
    root.put(path, again, sha256)
    objects.append(StoredObject(kind="utterances", path=path, size_bytes=size, sha256=sha256, rows=len(kept)))
    old = [stored.path for stored in commit.objects if stored.kind in ("shard", "utterances")]
    objects += [stored for stored in commit.objects if stored.path not in old]
    create_commit(made.lake, commit.model_copy(update={"generation": commit.generation + 1, "objects": tuple(objects)}))
    for path in set(old) - {stored.path for stored in objects} if deletes else ():
        root.delete(path)
    return {row["key"] for row in rows} & gone
