"""Arrow schemas of everything stored as Parquet, with a description on every field.

Within a major version columns are added, never renamed or retyped; readers unite files by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

SCHEMA_VERSION = "1.2"

_TEXTS = pa.map_(pa.string(), pa.string())
INSTANT = pa.timestamp("us", tz="UTC")


def described(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    """A field that says what it holds."""
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
        pa.field("dropout_ratio", pa.float64()),
    ]
)
RESTORED = pa.list_(
    pa.struct(
        [
            pa.field("step", pa.string()),
            pa.field("detail", pa.string()),
            pa.field("score", pa.string()),
            pa.field("before", pa.float64()),
            pa.field("after", pa.float64()),
        ]
    )
)

PLACE_FIELDS = (
    described("shard", pa.string(), "tar that holds the utterance, as a path within the lake"),
    described("audio_offset", pa.int64(), "first byte of the audio within the tar"),
    described("audio_size", pa.int64(), "bytes of audio"),
    described("json_offset", pa.int64(), "first byte of {key}.json within the tar"),
    described("json_size", pa.int64(), "bytes of {key}.json"),
    described("text_offset", pa.int64(), "first byte of {key}.txt within the tar; null without text"),
    described("text_size", pa.int64(), "bytes of {key}.txt; null without text"),
)
"""Where an utterance rests. Everything else of its row is also in `{key}.json`."""

MEASUREMENT_FIELDS = (
    described("snr_db", pa.float64(), "speech to noise over active speech above 60 Hz, blind estimate, dB"),
    described("c50_db", pa.float64(), "clarity: first 50 ms of the room's response over the rest, blind estimate, dB"),
    described("rt60_s", pa.float64(), "reverberation time, blind estimate, seconds"),
    described("speech_ratio", pa.float64(), "share of the utterance that is speech, 0..1"),
    described("overlap_ratio", pa.float64(), "share of the utterance in which another speaker's turn overlaps, 0..1"),
    described("loudness_lufs", pa.float64(), "integrated loudness, ITU-R BS.1770-4, LUFS"),
    described("peak_dbfs", pa.float64(), "highest absolute sample, dB of full scale"),
    described("clipping_ratio", pa.float64(), "share of samples of the source channel in clipped runs, 0..1"),
    described("dc_offset", pa.float64(), "mean sample of the source channel, full scale 1"),
    described("bandwidth_hz", pa.float64(), "highest frequency with content in the source channel, Hz"),
    described("hum_db", pa.float64(), "mains hum at 50 or 60 Hz over its surroundings in the source channel, dB"),
    described("snr_spread_db", pa.float64(), "absolute error that the network expects of snr_db, dB; null without it"),
    described("c50_spread_db", pa.float64(), "absolute error that the network expects of c50_db, dB; null without it"),
    described(
        "dropout_ratio", pa.float64(), "share of the source channel's samples that dropped out (zero, held), 0..1"
    ),
    described("f0_median_hz", pa.float64(), "pitch: median fundamental frequency of voiced frames, Hz"),
    described("f0_spread_semitones", pa.float64(), "pitch: half the distance from 16th to 84th percentile, semitones"),
    described("spectral_tilt_db_per_octave", pa.float64(), "slope of third-octave levels over 250 Hz, dB per octave"),
    described("ltass_distance_db", pa.float64(), "distance to the long-term average speech spectrum, dB"),
    described("background_speech_ratio", pa.float64(), "share of the speaker's pauses with a faint voice, 0..1"),
)

UTTERANCE_FIELDS = (
    described("key", pa.string(), "the utterance's name; unique in the lake", nullable=False),
    described("recording_id", pa.string(), "the recording it was cut from", nullable=False),
    *PLACE_FIELDS,
    described("audio_sha256", pa.string(), "SHA-256 of the encoded audio"),
    described("channel", pa.int32(), "channel of the recording it was cut from; 0 for a downmix"),
    described("sample_rate_hz", pa.int32(), "rate of start_sample and end_sample, and of the audio unless re-encoded"),
    described("start_sample", pa.int64(), "first sample in the recording"),
    described("end_sample", pa.int64(), "one past the last sample in the recording"),
    described("duration_s", pa.float64(), "seconds"),
    described("speaker", pa.string(), "diarization label, local to the recording; not an identity"),
    *MEASUREMENT_FIELDS,
    described("quality_flags", pa.list_(pa.string()), "plain words about how far the measurements can be trusted"),
    described("accent", ACCENT, "accent label with its label set; origin declared or predicted"),
    described("language", pa.string(), "BCP 47 tag from the catalogue"),
    described("text", pa.string(), "transcript from the catalogue"),
    described("gender", pa.string(), "from the catalogue, where the utterance has one subject"),
    described("age_group", pa.string(), "from the catalogue, where the utterance has one subject"),
    described("synthetic", SYNTHETIC, "whether the voice was made by a machine, with the evidence"),
    described("collected_at", INSTANT, "when the recording was collected, from the catalogue"),
    described("extra", _TEXTS, "the catalogue's own extra.* columns"),
    described("consent", CONSENT, "whose voice this is, the grant it was taken in on, role and binding"),
    described("grant_ids", pa.list_(pa.string()), "from the catalogue: when not empty, only these grants count"),
    described("consent_complete", pa.bool_(), "everybody heard is listed in consent", nullable=False),
    described("lineage", LINEAGE, "where it came from, by which recipe and models"),
    described("restored", RESTORED, "what `restore` changed, with a score before and after; null: nothing"),
)

RECORDING_FIELDS = (
    described("recording_id", pa.string(), "128-bit id of root, path and version", nullable=False),
    described("source_root", pa.string(), "name of the source root", nullable=False),
    described("source_path", pa.string(), "path within the root", nullable=False),
    described("source_version", pa.string(), "version as listed", nullable=False),
    described("source_size_bytes", pa.int64(), "bytes as listed"),
    described("source_sha256", pa.string(), "SHA-256 of the bytes read; null when they were not read"),
    described("run_id", pa.string(), "run that wrote this row", nullable=False),
    described("unit_id", pa.string(), "unit that wrote this row", nullable=False),
    described("recipe_sha256", pa.string(), "recipe that wrote this row", nullable=False),
    described("status", pa.string(), "emitted, rejected or held", nullable=False),
    described("stage", pa.string(), "stage that put it aside; null when emitted"),
    described("reason", pa.string(), "why it was put aside, from the closed list; null when emitted"),
    described("detail", pa.string(), "what exactly was found"),
    described("retriable", pa.bool_(), "a later run plans it again"),
    described("container", pa.string(), "container format as decoded"),
    described("codec", pa.string(), "codec as decoded"),
    described("decoder", pa.string(), "reader and its version"),
    described("notes", pa.list_(pa.string()), "what was odd about it and was kept all the same"),
    described("sample_rate_hz", pa.int32(), "as decoded"),
    described("channels", pa.int32(), "as decoded"),
    described("downmix", pa.string(), "mono, mean, split, or channel_N where a downmix would have cancelled"),
    described("n_samples", pa.int64(), "samples per channel, counted while decoding"),
    described("duration_s", pa.float64(), "seconds, from the decoded samples"),
    described("header_duration_s", pa.float64(), "what the header claimed; null where it claims nothing"),
    described("speech_s", pa.float64(), "seconds of speech regions"),
    described("voices", pa.int32(), "speakers that diarization heard; null when nothing listened"),
    described("channel_measurements", pa.list_(CHANNEL), "damage and bandwidth per channel"),
    described("regions", pa.list_(_SPAN), "where VAD heard speech"),
    described("turns", pa.list_(_TURN), "who spoke when, by local label"),
    described("utterances", pa.int64(), "utterances emitted"),
    described("utterance_s", pa.float64(), "seconds of utterances emitted"),
    described("utterances_rejected", pa.list_(_REASON_COUNT), "cuts put aside, by reason"),
    described("language", pa.string(), "from the catalogue"),
    described("collected_at", INSTANT, "from the catalogue"),
    described("catalogue_row_sha256", pa.string(), "digest of the catalogue row it was planned with"),
    described("extra", _TEXTS, "the catalogue's own extra.* columns"),
    described("consent", CONSENT, "the recording's subjects and the grant each was taken in on"),
    described("grant_ids", pa.list_(pa.string()), "from the catalogue: when not empty, only these grants count"),
    described("consent_complete", pa.bool_(), "everybody heard is listed in consent", nullable=False),
)

PLAN_FIELDS = (
    described("unit_index", pa.int32(), "place of the unit in the plan", nullable=False),
    described("unit_id", pa.string(), "name of the unit", nullable=False),
    described("recording_id", pa.string(), "128-bit id of root, path and version", nullable=False),
    described("source_root", pa.string(), "name of the source root", nullable=False),
    described("source_path", pa.string(), "path within the root", nullable=False),
    described("source_version", pa.string(), "version as listed", nullable=False),
    described("source_size_bytes", pa.int64(), "bytes as listed", nullable=False),
    described("estimated_s", pa.float64(), "estimated seconds of audio", nullable=False),
    described("deadline_s", pa.float64(), "seconds after which a worker may no longer commit the unit", nullable=False),
    described("catalogue_row", pa.string(), "the source's catalogue row as canonical JSON; null without one"),
    described("catalogue_row_sha256", pa.string(), "its digest"),
)

COLUMN_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "double": pa.float64(),
    "int": pa.int64(),
    "bool": pa.bool_(),
}
"""Types that a user's own stage may declare for its columns."""


def table_schema(name: str, fields: tuple[pa.Field, ...], extra: tuple[pa.Field, ...] = ()) -> pa.Schema:
    """A stored table's schema, with its name and version."""
    return pa.schema([*fields, *extra], metadata={"schema_version": SCHEMA_VERSION, "table": name})


def utterances_schema(declared: Mapping[str, str] | None = None) -> pa.Schema:
    """Schema of `utterances`; `declared` maps the columns of the user's own stages to names in COLUMN_TYPES."""
    own = tuple(
        described(name, COLUMN_TYPES[kind], "column of a stage of one's own")
        for name, kind in sorted((declared or {}).items())
    )
    return table_schema("utterances", UTTERANCE_FIELDS, own)


RECORDINGS_SCHEMA = table_schema("recordings", RECORDING_FIELDS)
PLAN_SCHEMA = table_schema("plan", PLAN_FIELDS)
_OF_SOURCE = {"recording_id", "source_root", "source_path", "source_version", "source_size_bytes"}
ERASED_PLAN_SCHEMA = table_schema(
    "plan",
    tuple(field.with_nullable(True) if field.name in _OF_SOURCE else field for field in PLAN_FIELDS),
    (described("erased", pa.int64(), "sources that were erased; a row that has it says nothing else of them"),),
)
"""A plan from which sources were erased: one row per unit stands for all of them."""
MEASUREMENTS = tuple(field.name for field in MEASUREMENT_FIELDS)
