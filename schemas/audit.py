"""Rows of the audit: who is in a release, on which grant and rule, how much of them, and a digest that proves which."""

from __future__ import annotations

import pyarrow as pa

from schemas.tables import INSTANT, described, table_schema

AUDIT_FIELDS = (
    described("release", pa.string(), "name of the release", nullable=False),
    described("version", pa.int32(), "its version", nullable=False),
    described("subject_id", pa.string(), "who is heard, by pseudonym", nullable=False),
    described("grant_id", pa.string(), "the grant that allowed it", nullable=False),
    described("rule", pa.int32(), "the rule of that grant, counted from 0", nullable=False),
    described("utterances", pa.int64(), "how many of theirs are in it on this rule", nullable=False),
    described("audio_s", pa.float64(), "their seconds", nullable=False),
    described("allowed_until", INSTANT, "the earliest end among them", nullable=False),
    described(
        "root",
        pa.string(),
        "Merkle root over their sorted keys (RFC 6962, SHA-256), in hex; null while the release's "
        "index is there, from which it follows",
    ),
)

AUDIT_SCHEMA = table_schema("audit", AUDIT_FIELDS)
"""One row per release, person, grant and rule."""
