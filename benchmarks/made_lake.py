"""Lakes of many commits, written straight to this machine's disk: what is measured is how they open, not how they come.

Rows are made by column, with the values that real ones have: digests that nothing compresses, measurements to two
places, one person in 20 recordings.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.lake import Lake
from lake.runs import create_run, put_plan
from schemas.records import RunRecord
from schemas.tables import MEASUREMENTS, PLAN_SCHEMA, RECORDINGS_SCHEMA, utterances_schema

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = ("the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "are", "with", "as", "his", "they")
Row = dict[str, Any]


def _digest(text: str, chars: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=chars // 2).hexdigest()


def _source(n: int) -> Row:
    subject = f"s{_digest(f'person {n // 20}', 16)}"
    row = _digest(f"row {n}", 64)
    return {
        "recording_id": _digest(f"recording {n}", 32), "source_root": "raw", "source_version": _digest(f"v {n}", 32),
        "source_path": f"show{n // 200:06d}/episode-{n:09d}.mp3", "source_sha256": _digest(f"bytes {n}", 64),
        "catalogue_row_sha256": row, "consent_complete": True, "language": "en-GB",
        "consent": [{"subject_id": subject, "grant_id": f"g-{subject}", "role": "speaker", "binding": "sole"}],
    }  # fmt: skip


def _recording(source: Row, run: RunRecord, unit_id: str, utterances: int) -> Row:
    return {
        **source, "source_size_bytes": 30_000_000, "run_id": run.run_id, "unit_id": unit_id, "status": "emitted",
        "recipe_sha256": run.recipe_sha256, "codec": "mp3", "sample_rate_hz": 44_100, "channels": 2,
        "duration_s": 4.5 * utterances, "utterances": utterances, "utterance_s": 3.7 * utterances, "retriable": False,
    }  # fmt: skip


def _utterance(source: Row, run: RunRecord, unit_id: str, n: int, chance: random.Random) -> Row:
    start, length = n * 72_000, chance.randrange(16_000, 160_000)
    names = ("source_root", "source_path", "source_version", "source_sha256", "catalogue_row_sha256")
    return {
        "key": f"{source['recording_id']}-c0-{start:012d}-{start + length:012d}-spk00", "speaker": "spk00",
        "recording_id": source["recording_id"], "shard": f"shards/{run.run_id}/{unit_id}-{_digest(unit_id, 16)}.tar",
        "audio_offset": 100_000 * n, "audio_size": chance.randrange(20_000, 200_000), "json_offset": 100_000 * n + 512,
        "json_size": chance.randrange(2_000, 3_000), "audio_sha256": chance.randbytes(32).hex(), "channel": 0,
        "sample_rate_hz": 16_000, "start_sample": start, "end_sample": start + length, "duration_s": length / 16_000,
        **{name: round(chance.gauss(20, 5), 2) for name in MEASUREMENTS}, "language": "en-GB",
        "text": " ".join(chance.choices(_WORDS, k=12)), "consent": source["consent"], "consent_complete": True,
        "accent": {"label": "Scottish", "score": None, "label_set": "made-1", "origin": "declared"},
        "lineage": {
            **{name: source[name] for name in names}, "parents": [], "run_id": run.run_id,
            "recipe_sha256": run.recipe_sha256, "models": [("silero_vad", "6.2.3 sha256:00"), ("ge2e", "1 sha256:11")],
        },
    }  # fmt: skip


def _write(lake: Path, kind: str, run: RunRecord, unit_id: str, rows: list[Row], schema: pa.Schema) -> Row:
    columns = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd", version="2.6")
    data = sink.getvalue().to_pybytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path = getattr(layout, f"{kind}_path")(run.run_id, unit_id, sha256)
    (lake / path).parent.mkdir(parents=True, exist_ok=True)
    (lake / path).write_bytes(data)
    return {"kind": kind, "path": path, "size_bytes": len(data), "sha256": sha256, "rows": len(rows)}


def _parts(lake: Path, run: RunRecord, unit: int, unit_id: str, rows: int, chance: random.Random) -> list[Row]:
    """One unit's parts: a recording for each 50 utterances."""
    sources = [_source(unit * -(-rows // 50) + n) for n in range(-(-rows // 50))]
    utterances = sorted(
        (_utterance(sources[n // 50], run, unit_id, n, chance) for n in range(rows)), key=lambda row: str(row["key"])
    )
    recordings = [_recording(source, run, unit_id, min(50, rows)) for source in sources]
    return [
        _write(lake, "utterances", run, unit_id, utterances, utterances_schema()),
        _write(lake, "recordings", run, unit_id, recordings, RECORDINGS_SCHEMA),
    ]


def _commit(run: RunRecord, unit: int, unit_id: str, objects: list[Row], rows: int) -> str:
    at = (_BEGAN + timedelta(seconds=unit)).isoformat()
    sha256 = _digest(f"shard {run.number} {unit}", 64)
    shard = {"kind": "shard", "path": layout.shard_path(run.run_id, unit_id, sha256), "size_bytes": 123_456_789}
    counts = {"sources": 20, "emitted": 19, "rejected": {"silent": 1}, "utterances": rows, "source_s": 9000.0}
    return json.dumps(
        {
            "run_id": run.run_id, "unit_id": unit_id, "writer": _digest(f"writer {unit}", 32),
            "recipe_sha256": run.recipe_sha256, "objects": [{**shard, "sha256": sha256, "rows": None}, *objects],
            "counts": {**counts, "speech_s": 6000.0, "utterance_s": 3.7 * rows, "source_bytes": 400_000_000},
            "ledger_position": 1000, "decided_at": at, "committed_at": at, "wall_s": 600.0, "host": f"host{unit % 99}",
            "seconds": {"decode": 20.1, "detect_speech": 30.2, "diarize": 88.3, "cut_turns": 3.4}, "cpu": "made",
            "peak_memory_bytes": 900_000_000,
        }
    )  # fmt: skip


def add_run(folder: Path, commits: int, parts: int, rows: int) -> None:
    """The next run of the lake at `folder`, whose units all are committed; the first `parts` of them have parts of so
    many rows, the others name a tar alone. A later run has the sources of an earlier one."""
    lake = Lake.create_or_open(str(folder))
    number = 1 + sum(info.path.endswith("run.0.json") for info in lake.root.list("runs"))
    empty = folder / "plan.parquet"
    pq.write_table(PLAN_SCHEMA.empty_table(), empty)
    run = create_run(
        lake,
        RunRecord(
            number=number, run_id=f"{number:06d}-made", recipe_sha256=_digest(f"recipe {number}", 64), units=commits,
            roots={"raw": "s3://raw"}, plan=put_plan(lake, empty, number), sources=20 * commits, created_at=_BEGAN,
        ),
    )  # fmt: skip
    chance = random.Random(number)
    (folder / layout.commit_folder(run.run_id)).mkdir(parents=True)
    for unit, unit_id in _units(commits):
        objects = _parts(folder, run, unit, unit_id, rows, chance) if unit < parts else []
        path = folder / layout.commit_path(run.run_id, unit_id, 0)
        path.write_text(_commit(run, unit, unit_id, objects, rows))


def _units(commits: int) -> Iterator[tuple[int, str]]:
    return ((unit, f"{unit:07d}-{_digest(f'unit {unit}', 12)}") for unit in range(commits))


if __name__ == "__main__":
    add_run(Path(sys.argv[1]), *map(int, sys.argv[2:]))
