"""For tests of erasure: lakes in which who is heard where is known, and what must hold when somebody is erased."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake.lake import Lake
from lake.reader import LakeReader
from pipelines.erase.erase import Outcome, Wanted, erase
from schemas.ledger import Event, EventType
from schemas.tables import PLACE_FIELDS

KEY = "a key that is used in tests and nowhere else"
BY_PSEUDONYM = {"consent/certificates/000001.0.json", "consent/certificates/000001.0.html"}
"""What keeps the name of who was erased, and nothing else of them."""
PLACE = {field.name for field in PLACE_FIELDS}


def withdrawn(lake: Lake, *subjects: str) -> None:
    """Each of them takes everything back."""
    now = datetime.now(UTC)
    lake.ledger().append(
        [
            Event(event_id=f"out-{subject}-{lake.ledger().head()}", type=EventType.WITHDRAWN, recorded_at=now,
                  subject_id=subject)
            for subject in subjects
        ]
    )  # fmt: skip


def erased(lake: Lake, *subjects: str, **named: Any) -> Outcome:
    """Withdrawn and erased, to the end."""
    withdrawn(lake, *subjects)
    outcome = erase(lake, Wanted(subjects), **named)
    assert outcome.is_finished
    return outcome


def files_of(lake: Lake) -> dict[str, bytes]:
    """Every object of the lake with its bytes, but for the ledger's log, which keeps what was said."""
    root = Path(lake.root.uri)
    every = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in every if "consent/log" not in str(path)}


def holding(lake: Lake, *words: str) -> list[str]:
    """Objects in whose bytes, or in whose decoded Parquet, one of the words stands."""
    found = []
    for name, data in files_of(lake).items():
        text = data
        if name.endswith(".parquet"):
            file = pq.ParquetFile(io.BytesIO(data))
            text += repr(file.read().to_pylist()).encode() + repr(file.metadata.to_dict()).encode()
        if any(word.encode() in text for word in words):
            found.append(name)
    return found


def members(lake: Lake) -> dict[str, bytes]:
    """Every member of every committed tar."""
    found: dict[str, bytes] = {}
    for _, commit in LakeReader(lake).commits:
        for stored in commit.objects:
            if stored.kind == "shard":
                with tarfile.open(fileobj=io.BytesIO(lake.root.read(stored.path))) as tar:
                    for member in tar:
                        file = tar.extractfile(member)
                        assert file is not None
                        found[f"{commit.run_id}/{member.name}"] = file.read()
    return found


def rows(lake: Lake, kind: str) -> dict[str, dict[str, Any]]:
    """Every committed row but for its place, by run and name."""
    found: dict[str, dict[str, Any]] = {}
    for _, commit in LakeReader(lake).commits:
        for stored in commit.objects:
            if stored.kind == kind:
                table: pa.Table = pq.ParquetFile(io.BytesIO(lake.root.read(stored.path))).read()
                for row in table.to_pylist():
                    name = row["key"] if kind == "utterances" else row["recording_id"]
                    found[f"{commit.run_id}/{name}"] = {k: v for k, v in row.items() if k not in PLACE}
    return found
