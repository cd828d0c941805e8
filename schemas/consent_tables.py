"""Arrow schemas around consent: the ledger's events, what a decision reads and answers, and the rows of a release."""

from __future__ import annotations

import pyarrow as pa

from schemas.tables import INSTANT, PLACE_FIELDS, described, table_schema

_WORDS = pa.list_(pa.string())
RULE = pa.struct(
    [
        pa.field("effect", pa.string()),
        pa.field("action", _WORDS),
        pa.field("medium", _WORDS),
        pa.field("genre", _WORDS),
        pa.field("series", _WORDS),
        pa.field("role", _WORDS),
        pa.field("recipient", _WORDS),
        pa.field("territory", _WORDS),
        pa.field("durable_until", INSTANT),
    ]
)
GRANT = pa.struct(
    [
        pa.field("evidence_sha256", pa.string()),
        pa.field("jurisdiction", pa.string()),
        pa.field("valid_from", INSTANT),
        pa.field("valid_until", INSTANT),
        pa.field("scope", pa.string()),
        pa.field("recordings", pa.list_(pa.struct([pa.field("root", pa.string()), pa.field("path", pa.string())]))),
        pa.field("collected_from", INSTANT),
        pa.field("collected_until", INSTANT),
        pa.field("rules", pa.list_(RULE)),
    ]
)
RELEASE_REF = pa.struct(
    [
        pa.field("lake", pa.string()),
        pa.field("name", pa.string()),
        pa.field("version", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("ledger_position", pa.int64()),
    ]
)

EVENT_FIELDS = (
    described("position", pa.int64(), "place in the ledger; the first event is 1", nullable=False),
    described("event_id", pa.string(), "name of the event; a repeated one counts once, the first", nullable=False),
    described("type", pa.string(), "what the event says", nullable=False),
    described("recorded_at", INSTANT, "when it was recorded", nullable=False),
    described("subject_id", pa.string(), "whom it is about"),
    described("grant_id", pa.string(), "which of their grants; null: all that were recorded before"),
    described("grant", GRANT, "the whole grant, where it is given"),
    described("source_root", pa.string(), "of the source whose catalogue row changed"),
    described("source_path", pa.string(), "of the source whose catalogue row changed"),
    described("catalogue_row_sha256", pa.string(), "digest of its catalogue row from now on"),
    described("vocabulary", pa.string(), "a version of the vocabulary, as JSON"),
    described("release", RELEASE_REF, "the release that was opened or used"),
    described("owner", pa.string(), "who answers for the opening or the use"),
    described("purpose", pa.string(), "what a release was opened for"),
    described("model", pa.string(), "what was trained"),
    described("note", pa.string(), "in the recorder's own words"),
)

JUSTIFICATION = pa.struct(
    [
        pa.field("subject_id", pa.string()),
        pa.field("grant_id", pa.string()),
        pa.field("rule", pa.int32()),
        pa.field("until", INSTANT),
        pa.field("ends_at", INSTANT),
    ]
)

CONSENT_RECORD_FIELDS = (
    described("subject_ids", _WORDS, "everybody whose voice it is, sorted"),
    described("complete", pa.bool_(), "everybody heard is listed"),
    described("source_id", pa.string(), "128-bit id of root and path"),
    described("collected_at", INSTANT, "when it was collected"),
    described("grant_ids", _WORDS, "when not empty, only these grants count"),
    described("catalogue_row_sha256", pa.string(), "digest of the catalogue row it was made with"),
)
"""What a decision reads of a record (`schemas.consent.ConsentRecord`), as columns."""

DECISION_FIELDS = (
    described("allowed", pa.bool_(), "nothing denies", nullable=False),
    described("reason", pa.string(), "the first reason that denies; null when allowed"),
    described("denied_subject", pa.string(), "whose permission is missing; null where it is the record's own fault"),
    described("denied_grant", pa.string(), "the grant that came nearest, or the prohibition's"),
    described("allowed_until", INSTANT, "the earliest end among the justifications; null when denied"),
    described("justifications", pa.list_(JUSTIFICATION), "grant and rule per subject, by subject; empty when denied"),
)
"""What a decision answers, as columns."""

RELEASE_INDEX_FIELDS = (
    described("key", pa.string(), "the utterance", nullable=False),
    described("recording_id", pa.string(), "the recording it was cut from", nullable=False),
    described("run_id", pa.string(), "run that committed it", nullable=False),
    described("unit_id", pa.string(), "unit that committed it", nullable=False),
    *PLACE_FIELDS,
    described("audio_sha256", pa.string(), "SHA-256 of the encoded audio"),
    described("duration_s", pa.float64(), "seconds"),
    *CONSENT_RECORD_FIELDS,
    described("justifications", pa.list_(JUSTIFICATION), "the grant and rule that allowed it, per subject"),
    described("allowed_until", INSTANT, "from this instant on it may not be opened", nullable=False),
)
"""Rows of a release: what was chosen, why it may be used, and, as hints, where it lay."""

EVENTS_SCHEMA = table_schema("events", EVENT_FIELDS)
CONSENT_RECORDS_SCHEMA = table_schema("consent_records", CONSENT_RECORD_FIELDS)
DECISIONS_SCHEMA = table_schema("decisions", DECISION_FIELDS)
RELEASE_INDEX_SCHEMA = table_schema("release_index", RELEASE_INDEX_FIELDS)
