"""Arrow schemas of everything stored as Parquet, with a description on every field.

Within a major version columns are added, never renamed or retyped; readers unite files by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

SCHEMA_VERSION = "1.0"

_TEXTS = pa.map_(pa.string(), pa.string())
_INSTANT = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


_SPAN = pa.struct(
    [pa.field("channel", pa.int32()), pa.field("start_sample", pa.int64()), pa.field("end_sample", pa.int64())]
)
_TURN = pa.struct([*_SPAN, pa.field("speaker", pa.string())])
_REASON_COUNT = pa.struct([pa.field("reason", pa.string()), pa.field("count", pa.int64())])

ACCENT = pa.struct(
    [
        pa.field("label", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("label_set", pa.string()),
        pa.field("origin", pa.string()),
    ]
)
SYNTHETIC = pa.struct(
    [
        pa.field("state", pa.string()),
        pa.field(
            "evidence",
            pa.list_(
                pa.struct(
                    [
                        pa.field("kind", pa.string()),
                        pa.field("detail", pa.string()),
                        pa.field("origin", pa.string()),
                        pa.field("confidence", pa.float64()),
                    ]
                )
            ),
        ),
    ]
)
CONSENT = pa.list_(
    pa.struct(
        [
            pa.field("subject_id", pa.string()),
            pa.field("grant_id", pa.string()),
            pa.field("role", pa.string()),
            pa.field("binding", pa.string()),
        ]
    )
)
LINEAGE = pa.struct(
    [
        pa.field("source_root", pa.string()),
        pa.field("source_path", pa.string()),
        pa.field("source_version", pa.string()),
        pa.field("source_sha256", pa.string()),
        pa.field("catalogue_row_sha256", pa.string()),
        pa.field("parents", pa.list_(pa.string())),
        pa.field("run_id", pa.string()),
        pa.field("recipe_sha256", pa.string()),
        pa.field("models", _TEXTS),
    ]
)
CHANNEL = pa.struct(
    [
        pa.field("channel", pa.int32()),
        pa.field("peak_dbfs", pa.float64()),
        pa.field("clipping_ratio", pa.float64()),
        pa.field("dc_offset", pa.float64()),
        pa.field("bandwidth_hz", pa.float64()),
        pa.field("hum_db", pa.float64()),
    ]
)

PLACE_FIELDS = (
    _field("shard", pa.string(), "tar that holds the utterance, as a path within the lake"),
    _field("audio_offset", pa.int64(), "first byte of the audio within the tar"),
    _field("audio_size", pa.int64(), "bytes of audio"),
    _field("json_offset", pa.int64(), "first byte of {key}.json within the tar"),
    _field("json_size", pa.int64(), "bytes of {key}.json"),
    _field("text_offset", pa.int64(), "first byte of {key}.txt within the tar; null without text"),
    _field("text_size", pa.int64(), "bytes of {key}.txt; null without text"),
)
"""Where an utterance rests. Everything else of its row is also in `{key}.json`."""

MEASUREMENT_FIELDS = (
    _field("snr_db", pa.float64(), "speech to noise over active speech above 60 Hz, blind estimate, dB"),
    _field("c50_db", pa.float64(), "clarity: first 50 ms of the room's response over the rest, blind estimate, dB"),
    _field("rt60_s", pa.float64(), "reverberation time, blind estimate, seconds"),
    _field("speech_ratio", pa.float64(), "share of the utterance that is speech, 0..1"),
    _field("overlap_ratio", pa.float64(), "share of the utterance in which another speaker's turn overlaps, 0..1"),
    _field("loudness_lufs", pa.float64(), "integrated loudness, ITU-R BS.1770-4, LUFS"),
    _field("peak_dbfs", pa.float64(), "highest absolute sample, dB of full scale"),
    _field("clipping_ratio", pa.float64(), "share of samples of the source channel in clipped runs, 0..1"),
    _field("dc_offset", pa.float64(), "mean sample of the source channel, full scale 1"),
    _field("bandwidth_hz", pa.float64(), "highest frequency with content in the source channel, Hz"),
    _field("hum_db", pa.float64(), "mains hum at 50 or 60 Hz over its surroundings in the source channel, dB"),
)

UTTERANCE_FIELDS = (
    _field("key", pa.string(), "the utterance's name; unique in the lake", nullable=False),
    _field("recording_id", pa.string(), "the recording it was cut from", nullable=False),
    *PLACE_FIELDS,
    _field("audio_sha256", pa.string(), "SHA-256 of the encoded audio"),
    _field("channel", pa.int32(), "channel of the recording it was cut from; 0 for a downmix"),
    _field("sample_rate_hz", pa.int32(), "rate of start_sample and end_sample, and of the audio unless re-encoded"),
    _field("start_sample", pa.int64(), "first sample in the recording"),
    _field("end_sample", pa.int64(), "one past the last sample in the recording"),
    _field("duration_s", pa.float64(), "seconds"),
    _field("speaker", pa.string(), "diarization label, local to the recording; not an identity"),
    *MEASUREMENT_FIELDS,
    _field("quality_flags", pa.list_(pa.string()), "plain words about how far the measurements can be trusted"),
    _field("accent", ACCENT, "accent label with its label set; origin declared or predicted"),
    _field("language", pa.string(), "BCP 47 tag from the catalogue"),
    _field("text", pa.string(), "transcript from the catalogue"),
    _field("gender", pa.string(), "from the catalogue, where the utterance has one subject"),
    _field("age_group", pa.string(), "from the catalogue, where the utterance has one subject"),
    _field("synthetic", SYNTHETIC, "whether the voice was made by a machine, with the evidence"),
    _field("collected_at", _INSTANT, "when the recording was collected, from the catalogue"),
    _field("extra", _TEXTS, "the catalogue's own extra.* columns"),
    _field("consent", CONSENT, "whose voice this is, the grant it was taken in on, role and binding"),
    _field("consent_complete", pa.bool_(), "everybody heard is listed in consent", nullable=False),
    _field("lineage", LINEAGE, "where it came from, by which recipe and models"),
)

RECORDING_FIELDS = (
    _field("recording_id", pa.string(), "128-bit id of root, path and version", nullable=False),
    _field("source_root", pa.string(), "name of the source root", nullable=False),
    _field("source_path", pa.string(), "path within the root", nullable=False),
    _field("source_version", pa.string(), "version as listed", nullable=False),
    _field("source_size_bytes", pa.int64(), "bytes as listed"),
    _field("source_sha256", pa.string(), "SHA-256 of the bytes read; null when they were not read"),
    _field("run_id", pa.string(), "run that wrote this row", nullable=False),
    _field("unit_id", pa.string(), "unit that wrote this row", nullable=False),
    _field("recipe_sha256", pa.string(), "recipe that wrote this row", nullable=False),
    _field("status", pa.string(), "emitted, rejected or held", nullable=False),
    _field("stage", pa.string(), "stage that put it aside; null when emitted"),
    _field("reason", pa.string(), "why it was put aside, from the closed list; null when emitted"),
    _field("detail", pa.string(), "what exactly was found"),
    _field("retriable", pa.bool_(), "a later run plans it again"),
    _field("container", pa.string(), "container format as decoded"),
    _field("codec", pa.string(), "codec as decoded"),
    _field("decoder", pa.string(), "reader and its version"),
    _field("notes", pa.list_(pa.string()), "what was odd about it and was kept all the same"),
    _field("sample_rate_hz", pa.int32(), "as decoded"),
    _field("channels", pa.int32(), "as decoded"),
    _field("downmix", pa.string(), "mono, mean, split, or channel_N where a downmix would have cancelled"),
    _field("n_samples", pa.int64(), "samples per channel, counted while decoding"),
    _field("duration_s", pa.float64(), "seconds, from the decoded samples"),
    _field("header_duration_s", pa.float64(), "what the header claimed; null where it claims nothing"),
    _field("speech_s", pa.float64(), "seconds of speech regions"),
    _field("voices", pa.int32(), "speakers that diarization heard; null when nothing listened"),
    _field("channel_measurements", pa.list_(CHANNEL), "damage and bandwidth per channel"),
    _field("regions", pa.list_(_SPAN), "where VAD heard speech"),
    _field("turns", pa.list_(_TURN), "who spoke when, by local label"),
    _field("utterances", pa.int64(), "utterances emitted"),
    _field("utterance_s", pa.float64(), "seconds of utterances emitted"),
    _field("utterances_rejected", pa.list_(_REASON_COUNT), "cuts put aside, by reason"),
    _field("language", pa.string(), "from the catalogue"),
    _field("collected_at", _INSTANT, "from the catalogue"),
    _field("catalogue_row_sha256", pa.string(), "digest of the catalogue row it was planned with"),
    _field("extra", _TEXTS, "the catalogue's own extra.* columns"),
    _field("consent", CONSENT, "the recording's subjects and the grant each was taken in on"),
    _field("consent_complete", pa.bool_(), "everybody heard is listed in consent", nullable=False),
)

PLAN_FIELDS = (
    _field("unit_index", pa.int32(), "place of the unit in the plan", nullable=False),
    _field("unit_id", pa.string(), "name of the unit", nullable=False),
    _field("recording_id", pa.string(), "128-bit id of root, path and version", nullable=False),
    _field("source_root", pa.string(), "name of the source root", nullable=False),
    _field("source_path", pa.string(), "path within the root", nullable=False),
    _field("source_version", pa.string(), "version as listed", nullable=False),
    _field("source_size_bytes", pa.int64(), "bytes as listed", nullable=False),
    _field("estimated_s", pa.float64(), "estimated seconds of audio", nullable=False),
    _field("deadline_s", pa.float64(), "seconds after which a worker may no longer commit the unit", nullable=False),
    _field("catalogue_row", pa.string(), "the source's catalogue row as canonical JSON; null without one"),
    _field("catalogue_row_sha256", pa.string(), "its digest"),
)

COLUMN_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "double": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
}
"""Types that a user's own stage may declare for its columns."""


def _schema(name: str, fields: tuple[pa.Field, ...], extra: tuple[pa.Field, ...] = ()) -> pa.Schema:
    return pa.schema([*fields, *extra], metadata={"schema_version": SCHEMA_VERSION, "table": name})


def utterances_schema(declared: Mapping[str, str] | None = None) -> pa.Schema:
    """Schema of `utterances`; `declared` maps the columns of the user's own stages to names in COLUMN_TYPES."""
    own = tuple(
        _field(name, COLUMN_TYPES[kind], "column of a stage of one's own")
        for name, kind in sorted((declared or {}).items())
    )
    return _schema("utterances", UTTERANCE_FIELDS, own)


RECORDINGS_SCHEMA = _schema("recordings", RECORDING_FIELDS)
PLAN_SCHEMA = _schema("plan", PLAN_FIELDS)
MEASUREMENTS = tuple(field.name for field in MEASUREMENT_FIELDS)
