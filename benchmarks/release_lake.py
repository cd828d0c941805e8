"""A lake to choose from: utterances and ledger of `consent_lake`, merged and named by a snapshot, without sound.

Made once per size, the same every time, kept in `.cache/bench`. Recordings are prepared in units of a hundred, in the
order of a digest of their subject, as a plan has them; so a merged file, sorted by subject, speaks of many tars.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import consent_lake
from benchmarks.corpus import CACHE
from lake import layout
from lake.lake import Lake
from lake.projection_rows import events_of
from lake.runs import create_run, put_plan
from lake.snapshots import create_snapshot, put_file
from schemas.records import RunRecord, StoredObject
from schemas.snapshots import COMMITS_SCHEMA, FoldedRun, MergedFile, SnapshotHead
from schemas.tables import ACCENT, LINEAGE, PLAN_SCHEMA, RECORDINGS_SCHEMA, SCHEMA_VERSION, utterances_schema

RUN = "bench"
UNIT_RECORDINGS = 100
ROW_GROUP_ROWS = 131_072
ACCENTS = ("Scottish", "Irish", "Welsh", "English", None)
GENDERS = ("female", "male", None)
_BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


def lake_of(rows: int) -> Path:
    """Folder of the lake with so many utterances; made where it is not there."""
    found = CACHE / f"release-{rows}"
    if not (found / layout.snapshot_head_path(1)).is_file():
        _Maker(rows, found).write()
    return found


class _Maker:
    def __init__(self, rows: int, folder: Path) -> None:
        self.rows, self.folder = rows, folder
        self.source = consent_lake.folder(rows)
        self.lake = Lake.create_or_open(str(folder))
        self.chance = np.random.default_rng(consent_lake.SEED)
        self.recordings: dict[str, int] = {}

    def write(self) -> None:
        self._ledger()
        run = self._run()
        files = [self._merged(path) for path in sorted(self.source.glob("utterances-*.parquet"))]
        files.append(self._recordings())
        head = SnapshotHead(
            number=1, created_at=_BEGAN, files=tuple(files), commits=self._empty_commits(),
            runs=(FoldedRun(run_number=run.number, run_id=RUN, commits=0, is_closed=True),),
        )  # fmt: skip
        create_snapshot(self.lake, head)

    def _ledger(self) -> None:
        ledger = self.lake.ledger()
        if not ledger.head():
            ledger.append([event for _, event in events_of(pq.read_table(self.source / "events.parquet"))])

    def _run(self) -> RunRecord:
        plan = self.folder / "plan.parquet"
        pq.write_table(PLAN_SCHEMA.empty_table(), plan)
        stored = put_plan(self.lake, plan, 1)
        return create_run(
            self.lake,
            RunRecord(number=1, run_id=RUN, recipe_sha256="a" * 64, roots={"podcasts": "s3://raw"}, plan=stored,
                      units=0, sources=0, is_closed=True, created_at=_BEGAN),
        )  # fmt: skip

    def _merged(self, path: Path) -> MergedFile:
        out = self.folder / path.name
        with pq.ParquetWriter(out, utterances_schema(), compression="zstd", version="2.6") as writer:
            for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP_ROWS):
                writer.write_table(self._filled(pa.Table.from_batches([batch])))
        return self._put(out, "utterances", pq.read_metadata(path).num_rows)

    def _filled(self, rows: pa.Table) -> pa.Table:
        """The columns that a decision reads, and the others: names, places, and a few measurements."""
        n = rows.num_rows
        paths = pc.struct_field(rows["lineage"].combine_chunks(), ["source_path"]).dictionary_encode()
        names = paths.dictionary.to_pylist()
        code = paths.indices.to_numpy()
        nth = _nth(code)
        duration = np.round(self.chance.gamma(3.0, 2.4, n) + 0.3, 3)
        size = (duration * 16_000).astype(np.int64)
        ids = np.array([hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in names])
        starts = np.char.zfill((nth * 480_000).astype(str), 12)
        ends = np.char.zfill((nth * 480_000 + size).astype(str), 12)
        keys = [f"{one}-c0-{first}-{last}-spk00" for one, first, last in zip(ids[code], starts, ends, strict=True)]
        columns: dict[str, Any] = {
            **{name: rows[name] for name in rows.column_names},
            "key": keys,
            "recording_id": pa.array(ids).cast(pa.string()).take(paths.indices),
            "shard": pa.array([self._shard(name) for name in names]).take(paths.indices),
            "audio_offset": pa.array(512 + (code % UNIT_RECORDINGS) * 10_000_000 + nth * 500_000),
            "audio_size": size * 2 // 3,
            "json_offset": 512 + (code % UNIT_RECORDINGS) * 10_000_000 + nth * 500_000 + 400_000,
            "json_size": np.full(n, 2_048),
            "audio_sha256": [digest.hex() for digest in _pieces(self.chance.bytes(32 * n))],
            "duration_s": duration,
            "snr_db": np.round(self.chance.normal(20, 6, n), 2),
            "accent": self._accents(code, n),
            "gender": pa.array(GENDERS, pa.string()).take(pa.array(code % len(GENDERS))),
            "lineage": _lineage(rows),
        }
        filled = [
            pa.nulls(n, field.type) if field.name not in columns else _cast(columns[field.name], field.type)
            for field in utterances_schema()
        ]
        return pa.Table.from_arrays(filled, schema=utterances_schema())

    def _shard(self, path: str) -> str:
        """The tar of a recording; units lie across subjects, as recordings are numbered along them."""
        number = int(path.removesuffix(".mp3").rpartition("-")[2])
        units = max(1, self.rows // 20 // UNIT_RECORDINGS)
        unit = int.from_bytes(hashlib.blake2b(b"%d" % (number // 5), digest_size=4).digest(), "big") % units
        self.recordings[path] = unit
        name = f"{unit:07d}-{hashlib.blake2b(b'%d' % unit, digest_size=6).hexdigest()}"
        return layout.shard_path(RUN, name, hashlib.sha256(name.encode()).hexdigest())

    def _accents(self, code: Any, n: int) -> pa.Array:
        labels = pa.array(ACCENTS, pa.string()).take(pa.array(code // 7 % len(ACCENTS)))
        members = {"label": labels, "score": pa.nulls(n, pa.float64()), "label_set": pa.nulls(n, pa.string())}
        members["origin"] = pa.nulls(n, pa.string())
        return pa.StructArray.from_arrays([members[field.name] for field in ACCENT], fields=list(ACCENT))

    def _recordings(self) -> MergedFile:
        paths = sorted(self.recordings)
        ids = [hashlib.blake2b(path.encode(), digest_size=16).hexdigest() for path in paths]
        stated: dict[str, Any] = {
            "recording_id": ids, "source_path": paths,
            **{name: pa.array([value], pa.string()).take(pa.array(np.zeros(len(paths), np.int64))) for name, value in (
                ("source_root", "podcasts"), ("source_version", "v1"), ("run_id", RUN), ("unit_id", "0"),
                ("recipe_sha256", "a" * 64), ("status", "emitted"),
            )},
            "consent_complete": np.ones(len(paths), np.bool_),
        }  # fmt: skip
        columns = [
            pa.array(stated[field.name], field.type) if field.name in stated else pa.nulls(len(paths), field.type)
            for field in RECORDINGS_SCHEMA
        ]
        out = self.folder / "recordings.parquet"
        pq.write_table(pa.Table.from_arrays(columns, schema=RECORDINGS_SCHEMA), out, compression="zstd")
        return self._put(out, "recordings", len(paths))

    def _put(self, path: Path, kind: str, rows: int) -> MergedFile:
        where, size, sha256 = put_file(self.lake, 1, kind, path)
        return MergedFile(
            kind=kind, path=where, size_bytes=size, sha256=sha256, rows=rows, run_numbers=(1,),
            schema_version=SCHEMA_VERSION,
        )  # fmt: skip

    def _empty_commits(self) -> StoredObject:
        path = self.folder / "commits.parquet"
        pq.write_table(COMMITS_SCHEMA.empty_table(), path)
        where, size, sha256 = put_file(self.lake, 1, "commits", path)
        return StoredObject(kind="commits", path=where, size_bytes=size, sha256=sha256, rows=0)


def _nth(code: Any) -> Any:
    """How many rows of the same recording lie before each row; a recording's rows are adjacent."""
    starts = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
    return np.arange(len(code)) - np.repeat(starts, np.diff(np.append(starts, len(code))))


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[begin : begin + 32] for begin in range(0, len(data), 32))


def _lineage(rows: pa.Table) -> pa.Array:
    known = rows["lineage"].combine_chunks()
    members = {field.name: pc.struct_field(known, [field.name]) for field in known.type}
    members["run_id"] = pa.array([RUN]).take(pa.array(np.zeros(rows.num_rows, np.int64)))
    arrays = [
        members[field.name] if field.name in members else pa.nulls(rows.num_rows, field.type) for field in LINEAGE
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(LINEAGE))


def _cast(column: Any, kind: pa.DataType) -> Any:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column.cast(kind)
    return pa.array(column, kind)


if __name__ == "__main__":
    lake_of(int(sys.argv[1]))
