"""BigQuery's schemas of the lake's tables, made from the Arrow schemas that the lake is written with.

    python -m tests.infra.bigquery_schema     writes infra/terraform/modules/warehouse/schemas/

A test compares what is there with what this makes, so the tables cannot fall behind the lake. `${personal}` and
`${transcript}` are filled in by Terraform with the names of the policy tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.consent_tables import RELEASE_INDEX_SCHEMA
from schemas.tables import RECORDINGS_SCHEMA, utterances_schema

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "terraform" / "modules" / "warehouse" / "schemas"
TABLES: Mapping[str, pa.Schema] = {
    "utterances": utterances_schema(),
    "recordings": RECORDINGS_SCHEMA,
    "release": RELEASE_INDEX_SCHEMA,
}
# Whoever has one of these finds the person, or the recording that they are heard in. By path; what lies below a name
# that is listed is tagged with it (BigQuery tags leaves only).
PERSONAL = frozenset(
    {
        "consent.subject_id", "consent.grant_id", "grant_ids", "subject_ids", "justifications.subject_id",
        "justifications.grant_id", "lineage.source_path", "lineage.source_version", "lineage.source_sha256",
        "lineage.catalogue_row_sha256", "source_path", "source_version", "source_sha256", "catalogue_row_sha256",
        "audio_sha256", "source_id", "gender", "age_group", "extra", "detail", "collected_at",
    }
)  # fmt: skip
TRANSCRIPT = frozenset({"text"})
_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "STRING", pa.bool_(): "BOOLEAN", pa.float64(): "FLOAT", pa.int64(): "INTEGER", pa.int32(): "INTEGER",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}  # fmt: skip


def bigquery_fields(schema: pa.Schema) -> list[dict[str, Any]]:
    """The table's columns as BigQuery's API takes them."""
    return [_field(field, field.name) for field in schema]


def _field(field: pa.Field, path: str, tag: str | None = None) -> dict[str, Any]:
    tag = "personal" if path in PERSONAL else "transcript" if path in TRANSCRIPT else tag
    kind, mode = field.type, "NULLABLE"
    if pa.types.is_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    made: dict[str, Any] = {"name": field.name, "mode": mode}
    description = (field.metadata or {}).get(b"description")
    if description:
        made["description"] = description.decode()
    if pa.types.is_struct(kind):
        return made | {"type": "RECORD", "fields": [_field(inner, f"{path}.{inner.name}", tag) for inner in kind]}
    if pa.types.is_map(kind):
        pair = pa.field("key_value", pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        return made | {"type": "RECORD", "fields": [_field(pair, f"{path}.key_value", tag)]}
    made["type"] = _TYPES[pa.string() if pa.types.is_dictionary(kind) else kind]
    return made | ({"policyTags": {"names": [f"${{{tag}}}"]}} if tag else {})


def written(name: str) -> str:
    """The template's text."""
    return json.dumps(bigquery_fields(TABLES[name]), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        (FOLDER / f"{table}.json.tftpl").write_text(written(table))
