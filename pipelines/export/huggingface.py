"""Hugging Face: Parquet shards with the audio inside, which `datasets.load_dataset` opens with an Audio column.

What makes it an Audio column is the `huggingface` entry of the schema's metadata. Maps, which `datasets` has no word
for, are JSON text. Source: https://huggingface.co/docs/datasets (Audio, Features), version 5.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.export.samples import ExportSample, Row, consent_lineage
from pipelines.export.target import Target
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.releases import ReleaseRecord
from schemas.tables import INSTANT, PLACE_FIELDS, UTTERANCE_FIELDS

_WORDS = pa.list_(pa.string())
AUDIO = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
CONSENT_LINEAGE = pa.struct(
    [
        pa.field("release", pa.string()),
        pa.field("release_version", pa.int64()),
        pa.field("release_sha256", pa.string()),
        pa.field("ledger_position", pa.int64()),
        pa.field("subject_ids", _WORDS),
        pa.field("grant_ids", _WORDS),
        pa.field("rules", pa.list_(pa.int64())),
        pa.field("allowed_until", INSTANT),
    ]
)
OWN_COLUMNS = "own_columns"
_GROUP_BYTES = 16 << 20
"""A row group: what `datasets` holds at a time when it streams."""
_GROUP_ROWS = 1000


def write(samples: Iterable[ExportSample], release: ReleaseRecord, target: Target, shard_bytes: int) -> None:
    """`data/train-00000.parquet` and so on, each of about `shard_bytes`, and a dataset card."""
    never_import_pandas_for_a_question()
    schema = _schema()
    groups = _groups(samples, release)
    group = next(groups, None)
    number = 0
    while group is not None:
        path = f"train-{number:05d}.parquet"
        group, rows = _write_shard(target, path, schema, group, groups, shard_bytes)
        target.put("data", f"data/{path}", target.folder / path, rows)
        number += 1
    target.put("card", "README.md", _card(release))


def _write_shard(
    target: Target, name: str, schema: pa.Schema, group: list[Row] | None, groups: Iterator[list[Row]], shard_bytes: int
) -> tuple[list[Row] | None, int]:
    """Writes groups until the shard is full; returns the first group of the next one, and the number of rows."""
    import pyarrow.parquet as pq

    size = rows = 0
    # Audio is compressed already; dictionaries of it would only be tried and thrown away.
    texts = [field.name for field in schema if field.name != "audio"]
    with pq.ParquetWriter(target.folder / name, schema, compression="zstd", use_dictionary=texts) as writer:
        while group is not None and (rows == 0 or size < shard_bytes):
            writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=len(group))
            rows += len(group)
            size += sum(len(row["audio"]["bytes"]) for row in group)
            group = next(groups, None)
    return group, rows


def _groups(samples: Iterable[ExportSample], release: ReleaseRecord) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for sample in samples:
        group.append(row_of(sample, release))
        size += len(sample.audio)
        if size >= _GROUP_BYTES or len(group) >= _GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def row_of(sample: ExportSample, release: ReleaseRecord) -> Row:
    """The row of one utterance. Columns of stages of one's own differ by recipe: one column holds them all as JSON."""
    row = sample.row
    lineage = {**row["lineage"], "models": _text_of(row["lineage"].get("models") or {})}
    instants = {"collected_at": _instant(row.get("collected_at"))}
    own = {name: value for name, value in row.items() if name not in _KNOWN}
    return {
        "audio": {"bytes": sample.audio, "path": f"{sample.key}.{sample.codec}"},
        **{name: row.get(name) for name in _KNOWN},
        **instants,
        "extra": _text_of(row.get("extra") or {}),
        "lineage": lineage,
        OWN_COLUMNS: _text_of(own) if own else None,
        "consent_lineage": {**consent_lineage(sample, release), "allowed_until": sample.allowed_until},
    }


def _text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


_PLACE = {field.name for field in PLACE_FIELDS}
_KNOWN = tuple(field.name for field in UTTERANCE_FIELDS if field.name not in _PLACE)


def _schema() -> pa.Schema:
    columns = [(field.name, _without_maps(field.type)) for field in UTTERANCE_FIELDS if field.name in _KNOWN]
    every = [("audio", AUDIO), *columns, (OWN_COLUMNS, pa.string()), ("consent_lineage", CONSENT_LINEAGE)]
    features = {name: {"_type": "Audio"} if name == "audio" else _feature(kind) for name, kind in every}
    return pa.schema(every, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _without_maps(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_map(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _without_maps(field.type)) for field in kind])
    return kind


def _feature(kind: pa.DataType) -> Row:
    """The feature of `datasets` that stands for an Arrow type."""
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": "float64" if pa.types.is_float64(kind) else str(kind), "_type": "Value"}


def _card(release: ReleaseRecord) -> bytes:
    """README.md: where the data lies, for `load_dataset(FOLDER)`, and what it may be used for."""
    use = ", ".join(f"{name} {value}" for name, value in release.use.model_dump(mode="json").items())
    return f"""---
license: other
license_name: consent-of-the-data-subjects
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
---
# {release.name}, version {release.version}

Recordings of people's voices, chosen for one use only: {use}.
`consent_lineage` names, for every row, the people, the grants that allow this use, and the instant from which on the
row may not be used any more. People may withdraw before: then the export is made again from the release, which refuses
or leaves out what was withdrawn. Release sha256: `{release.sha256}`.
""".encode()
