"""Lakes with a release to load: one of real shards, one with a long index. The same every time, kept in `.cache/bench`.

A clip is faint noise as FLAC: it takes about as many bytes a second as speech at 16 kHz does. Sixty-four clips of two
to twelve seconds are repeated; what is measured is how bytes are found and handed on, and no one looks at the sound.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from benchmarks.corpus import CACHE
from lake import layout
from lake.commits import create_commit
from lake.lake import Lake
from lake.tar import TarWriter
from schemas.consent import TERMS, DataScope, Grant, Rule, Use
from schemas.consent_tables import JUSTIFICATION, RELEASE_INDEX_SCHEMA
from schemas.ledger import Event, EventType
from schemas.records import Commit, Counts, StoredObject
from schemas.releases import ReleaseRecord, Share

RATE_HZ = 16_000
NAME = "bench"
RUN = "bench"
MADE_AT = datetime(2026, 6, 1, tzinfo=UTC)
UNTIL = datetime(2120, 1, 1, tzinfo=UTC)
ROWS_PER_PERSON = 20
_ROWS_PER_PART, _ROWS_PER_GROUP = 1_000_000, 65_536
_ANY: dict[str, Any] = dict.fromkeys(TERMS, "any")


def shards_lake(utterances: int, per_shard: int) -> Path:
    """A lake of tars with so many utterances each, committed and released."""
    folder = CACHE / f"loader-{utterances}-{per_shard}"
    if not (folder / layout.release_path(NAME, 1)).is_file():
        lake = _begun(folder, utterances)
        clips = [_clip(n) for n in range(64)]
        rows: list[dict[str, Any]] = []
        for first in range(0, utterances, per_shard):
            rows += _shard(lake, folder, clips, range(first, min(utterances, first + per_shard)))
        _release(lake, _table(rows))
    return folder


def index_lake(rows: int, per_unit: int = 1000) -> Path:
    """A lake whose release has so many rows, with the commits of their units and no shard: it can be opened."""
    folder = CACHE / f"loader-index-{rows}"
    if not (folder / layout.release_path(NAME, 1)).is_file():
        lake = _begun(folder, rows)
        for unit in range(-(-rows // per_unit)):
            _commit(lake, _unit(unit), [])
        _release(lake, _table([_row(n, per_unit) for n in range(rows)]))
    return folder


def person(n: int) -> str:
    """Who speaks in utterance `n`."""
    return f"s{n // ROWS_PER_PERSON:07d}"


def _begun(folder: Path, rows: int) -> Lake:
    lake = Lake.create_or_open(str(folder))
    everything = Rule.model_validate({"effect": "permit", "action": ["any"], **{term: ["any"] for term in TERMS}})
    people = [person(n) for n in range(0, rows, ROWS_PER_PERSON)]
    if lake.ledger().head() == 0:
        lake.ledger().append([_given(name, everything) for name in people])
    return lake


def _given(subject: str, rule: Rule) -> Event:
    grant = Grant(
        grant_id=f"g-{subject}", subject_id=subject, evidence_sha256="0" * 64, jurisdiction="EU",
        scope=DataScope(kind="all"), valid_from=datetime(2026, 1, 1, tzinfo=UTC), valid_until=UNTIL, rules=(rule,),
    )  # fmt: skip
    return Event(
        event_id=f"given-{subject}", type=EventType.GIVEN, recorded_at=MADE_AT, subject_id=subject,
        grant_id=grant.grant_id, grant=grant,
    )  # fmt: skip


def withdrawal(subject: str, name: str) -> Event:
    """The subject takes everything back; `name` makes it an event of its own."""
    return Event(event_id=name, type=EventType.WITHDRAWN, recorded_at=datetime.now(UTC), subject_id=subject)


def _clip(n: int) -> bytes:
    chance = np.random.default_rng(n)
    noise = 0.01 * chance.standard_normal(int(chance.uniform(2, 12) * RATE_HZ), np.float32)
    with io.BytesIO() as file:
        soundfile.write(file, noise, RATE_HZ, format="FLAC", subtype="PCM_16")
        return file.getvalue()


def _unit(number: int) -> str:
    return f"{number:07d}-{'0' * 12}"


def _row(n: int, per_unit: int) -> dict[str, Any]:
    """A row of the index for utterance `n`, as if its shard were there."""
    recording, subject = hashlib.blake2b(f"{n // 20}".encode(), digest_size=16).hexdigest(), person(n)
    start = n % 20 * 96_000
    offset = n % per_unit * 120_000
    return {
        "key": f"{recording}-c0-{start:012d}-{start + 80_000:012d}-spk00", "recording_id": recording, "run_id": RUN,
        "unit_id": _unit(n // per_unit), "shard": f"shards/{RUN}/{_unit(n // per_unit)}-{'0' * 16}.tar",
        "audio_offset": offset, "audio_size": 110_000, "json_offset": offset + 111_000, "json_size": 2_000,
        "audio_sha256": hashlib.sha256(f"{n}".encode()).hexdigest(), "duration_s": 5.0,
        "subject_ids": [subject], "complete": True, "source_id": recording, "grant_ids": [],
        "catalogue_row_sha256": "0" * 64, "allowed_until": UNTIL,
        "justifications": [
            {"subject_id": subject, "grant_id": f"g-{subject}", "rule": 0, "until": UNTIL, "ends_at": UNTIL}
        ],
    }  # fmt: skip


def _shard(lake: Lake, folder: Path, clips: Sequence[bytes], numbers: range) -> list[dict[str, Any]]:
    """Writes and commits a tar of these utterances; their rows of the index."""
    unit, path = _unit(numbers.start // len(numbers)), folder / "shard.tar"
    rows = sorted((_row(n, len(numbers)) for n in numbers), key=lambda row: str(row["key"]))
    with TarWriter(path) as writer:
        for n, row in zip(numbers, rows, strict=True):
            clip = clips[n % len(clips)]
            row["audio_offset"], row["audio_size"] = writer.add(f"{row['key']}.flac", clip), len(clip)
            row["audio_sha256"] = hashlib.sha256(clip).hexdigest()
            said = json.dumps(_described(row), separators=(",", ":")).encode()
            row["json_offset"], row["json_size"] = writer.add(f"{row['key']}.json", said), len(said)
            text = b"what was said in this utterance, as the catalogue has it"
            row["text_offset"], row["text_size"] = writer.add(f"{row['key']}.txt", text), len(text)
        size, sha256 = writer.close()
    shard = layout.shard_path(RUN, unit, sha256)
    lake.root.put(shard, path, sha256)
    _commit(lake, unit, [StoredObject(kind="shard", path=shard, size_bytes=size, sha256=sha256, rows=len(rows))])
    return [{**row, "unit_id": unit, "shard": shard} for row in rows]


def _described(row: dict[str, Any]) -> dict[str, Any]:
    """About as long as a real row in `{key}.json`."""
    measured = dict.fromkeys(("snr_db", "c50_db", "rt60_s", "speech_ratio", "loudness_lufs", "peak_dbfs"), 12.34)
    consent = [{"subject_id": row["subject_ids"][0], "grant_id": None, "role": "speaker", "binding": "sole"}]
    lineage = {"source_path": "shows/one/episode.mp3", "models": {f"model {n}": "sha256 " + "0" * 64 for n in range(6)}}
    return {"key": row["key"], **measured, "consent": consent, "lineage": lineage, "extra": {"show": "x" * 200}}


def _commit(lake: Lake, unit: str, objects: Sequence[StoredObject]) -> None:
    create_commit(
        lake,
        Commit(
            run_id=RUN, unit_id=unit, writer="bench", recipe_sha256="0" * 64, objects=tuple(objects), counts=Counts(),
            ledger_position=0, decided_at=MADE_AT, committed_at=MADE_AT,
        ),
    )  # fmt: skip


def _table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    fields = {"justifications": pa.list_(JUSTIFICATION)}
    columns = [
        pa.array([row.get(field.name) for row in rows], fields.get(field.name, field.type))
        for field in RELEASE_INDEX_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=RELEASE_INDEX_SCHEMA)


def _release(lake: Lake, table: pa.Table) -> None:
    stored = []
    for number, first in enumerate(range(0, table.num_rows, _ROWS_PER_PART)):
        part, file = table.slice(first, _ROWS_PER_PART), io.BytesIO()
        pq.write_table(part, file, compression="zstd", row_group_size=_ROWS_PER_GROUP)
        data, sha256 = file.getvalue(), hashlib.sha256(file.getvalue()).hexdigest()
        path = layout.release_index_path(NAME, 1, number, sha256)
        lake.root.put(path, data, sha256)
        stored.append(StoredObject(kind="index", path=path, size_bytes=len(data), sha256=sha256, rows=part.num_rows))
    whole = Share(utterances=table.num_rows)
    release = ReleaseRecord(
        name=NAME, version=1, use=Use(action="train_asr", until=UNTIL, **_ANY), ledger_position=lake.ledger().head(),
        decided_at=MADE_AT, candidates=whole, matching=whole, chosen=whole, index=tuple(stored), created_at=MADE_AT,
    ).sealed()  # fmt: skip
    lake.root.create(layout.release_path(NAME, 1), release.model_dump_json().encode())
