"""Lakes with a history: units committed one by one, in several runs, erased again, or written by an earlier version."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from lake import parts
from lake.commits import create_commit
from lake.lake import Lake
from lake.reader import LakeReader
from pipelines.rows import RunNames
from pipelines.shards import write_objects
from pipelines.unit import account
from provoice.sql import connect, records
from schemas.records import Commit, RunRecord
from tests.builders import Made, _outcome, _planned, _unit

VIEWS = (
    "utterances", "utterances_all", "recordings", "recordings_all", "commits", "runs", "plans", "stage_seconds"
)  # fmt: skip


class FromCommits(LakeReader):
    """Reads as if there were no snapshot: every commit, every part."""

    snapshot = None


def answers(lake: Lake, reader: LakeReader | None = None) -> dict[str, list[str]]:
    """Every row of every view, in no order."""
    with connect(lake, " ".join(VIEWS), reader=reader) as connection:
        return {
            view: sorted(repr(sorted(row.items())) for row in records(connection, f"from {view}")) for view in VIEWS
        }


def commit_unit(
    lake: Lake, run: RunRecord, index: int, planned: Sequence[Made], folder: Path, kept: Sequence[Made] | None = None
) -> Commit:
    """Commits a unit of a run's plan; with `kept`, its next generation, from which the other sources were erased."""
    unit = _unit(index, planned)
    names = RunNames(run.run_id, unit.unit_id, run.recipe_sha256)
    scratch = io.BytesIO()
    outcomes = [_outcome(made, _planned(made), names, scratch) for made in (planned if kept is None else kept)]
    generation = 0 if kept is None else 1
    objects = write_objects(
        outcomes, scratch, names, folder / f"{run.number}-{unit.unit_id}-{generation}",
        codec="flac", shard_max_bytes=1 << 30, declared_columns={},
    )  # fmt: skip
    for done in objects:
        lake.root.put(done.stored.path, done.local_path, done.stored.sha256)
    counts = account(outcomes, _unit(index, planned if kept is None else kept))
    gone = 0 if kept is None else len(planned) - len(kept)
    at = run.created_at + timedelta(minutes=index + 1, hours=generation)
    return create_commit(
        lake,
        Commit(
            run_id=run.run_id, unit_id=unit.unit_id, generation=generation, writer=f"made-{generation}",
            recipe_sha256=run.recipe_sha256, objects=tuple(done.stored for done in objects),
            counts=counts.model_copy(update={"sources": counts.sources + gone, "erased": gone}), ledger_position=0,
            decided_at=at, committed_at=at, seconds={"decode": 0.02}, wall_s=60.0, host="made",
        ),
    )  # fmt: skip


_SINCE = {
    "1.1": {"grant_ids"},
    "1.2": {
        "snr_spread_db", "c50_spread_db", "dropout_ratio", "f0_median_hz", "f0_spread_semitones",
        "spectral_tilt_db_per_octave", "ltass_distance_db", "background_speech_ratio", "restored",
    },
}  # fmt: skip
"""What each version brought, also within nested columns."""
EARLIER = ("1.0", *sorted(_SINCE))[:-1]


@contextmanager
def as_version(version: str) -> Iterator[None]:
    """Parts are written as this version wrote them."""
    later = set().union(*(names for since, names in _SINCE.items() if since > version))

    def write(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> tuple[int, str]:
        fields = [
            field.with_type(_without(field.type, later)).with_metadata(field.metadata)
            for field in schema
            if field.name not in later
        ]
        old = pa.schema(fields, metadata={**schema.metadata, b"schema_version": version.encode()})
        return parts.write_part(path, [_plain_without(row, later) for row in rows], old)

    with patch("pipelines.shards.write_part", write):
        yield


def _without(kind: pa.DataType, names: set[str]) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_without(kind.value_type, names))
    if pa.types.is_struct(kind):
        return pa.struct([field for field in kind if field.name not in names])
    return kind


def _plain_without(value: Any, names: set[str]) -> Any:
    if isinstance(value, list):
        return [_plain_without(entry, names) for entry in value]
    if isinstance(value, dict):
        return {name: _plain_without(entry, names) for name, entry in value.items() if name not in names}
    return value
