"""What readers open: the head of a snapshot, and the columns of its folded commits."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from schemas.instants import Instant
from schemas.model import Frozen
from schemas.records import FORMAT_VERSION, StoredObject
from schemas.tables import INSTANT, described, table_schema

CURRENT = {"utterances": "utterances_superseded", "recordings": "recordings_superseded"}
"""Kinds of merged files: those that hold current rows, and where the other rows of the same table are."""


class MergedFile(StoredObject):
    """A merged file: its `kind` is a key or a value of CURRENT, `rows` is stated."""

    rows: int
    run_numbers: tuple[int, ...]
    """Runs of which it holds rows."""
    own: dict[str, str] = Field(default_factory=dict)
    """Columns of stages of one's own, and their types; with `schema_version` it is the file's schema."""
    schema_version: str


class FoldedRun(Frozen):
    """How much of a run a snapshot holds. Readers list the commits of a run only if `is_closed` is false."""

    run_number: int
    run_id: str
    commits: int
    is_closed: bool
    """All its units were folded, or its hold had been ended: nothing more is expected of it."""


class SnapshotHead(Frozen):
    """`snapshots/<number>/snapshot.json`: created last and exclusively, and never changed."""

    format_version: int = FORMAT_VERSION
    number: int
    previous: int | None = None
    """The snapshot it was made from; its files may be listed here again."""
    created_at: Instant
    runs: tuple[FoldedRun, ...]
    commits: StoredObject
    files: tuple[MergedFile, ...]

    def merged(self, kind: str) -> list[MergedFile]:
        """The files of one kind."""
        return [file for file in self.files if file.kind == kind]


_COUNTS = pa.map_(pa.string(), pa.int64())
OBJECT = pa.struct(
    [
        pa.field("kind", pa.string()),
        pa.field("path", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("rows", pa.int64()),
    ]
)

COMMIT_FIELDS = (
    described("run_number", pa.int32(), "place of the run in the one order", nullable=False),
    described("run_id", pa.string(), "run that committed it", nullable=False),
    described("unit_id", pa.string(), "unit of the run's plan", nullable=False),
    described("generation", pa.int32(), "0, plus one for every erasure, and where gc collected it", nullable=False),
    described("sources", pa.int64(), "sources of the unit"),
    described("emitted", pa.int64(), "sources that gave utterances"),
    described("rejected", pa.int64(), "sources put aside"),
    described("held", pa.int64(), "sources held for consent"),
    described("erased", pa.int64(), "sources erased since"),
    described("utterances", pa.int64(), "utterances emitted"),
    described("source_bytes", pa.int64(), "bytes read"),
    described("source_s", pa.float64(), "seconds of audio decoded"),
    described("speech_s", pa.float64(), "seconds of speech regions"),
    described("utterance_s", pa.float64(), "seconds of utterances emitted"),
    described("rejected_by_reason", _COUNTS, "sources put aside, by reason"),
    described("held_by_reason", _COUNTS, "sources held, by reason"),
    described("utterances_rejected", _COUNTS, "cuts put aside, by reason"),
    described("ledger_position", pa.int64(), "events of the ledger that its decisions knew"),
    described("decided_at", INSTANT, "when it was decided for the last time"),
    described("committed_at", INSTANT, "when it was committed"),
    described("wall_s", pa.float64(), "seconds from start to commit"),
    described("cpu_s", pa.float64(), "CPU seconds, all stages"),
    described("seconds", pa.map_(pa.string(), pa.float64()), "CPU seconds by stage"),
    described("peak_memory_bytes", pa.int64(), "largest resident size of the worker"),
    described("host", pa.string(), "machine that did it"),
    described("cpu", pa.string(), "its kind of CPU"),
    described("attempt", pa.int32(), "1 unless it was tried again"),
    described("format_version", pa.int32(), "of the commit file"),
    described("writer", pa.string(), "token of the attempt that wrote it"),
    described("recipe_sha256", pa.string(), "recipe it was made by"),
    described("objects", pa.list_(OBJECT), "tars and parts that it names, with sizes and digests"),
    described("collected_at", INSTANT, "when `provoice gc` took its objects away; null where it has them"),
)
COMMITS_SCHEMA = table_schema("commits", COMMIT_FIELDS)
