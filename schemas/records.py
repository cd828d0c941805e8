"""What the lake keeps as JSON beside its data: the lake's own head, runs, and commits."""

from __future__ import annotations

from pydantic import Field

from schemas.instants import Instant
from schemas.model import Frozen

FORMAT_VERSION = 1


class LakeHead(Frozen):
    """`lake.0.json`: written once by the first writer. `ledger` is a URI, or a path within the lake."""

    format_version: int = FORMAT_VERSION
    ledger: str = "consent"


class StoredObject(Frozen):
    """An object that a commit or a run names: its path within the lake, size and digest."""

    kind: str
    path: str
    size_bytes: int
    sha256: str
    rows: int | None = None


class RunRecord(Frozen):
    """`runs/<number>/run.<g>.json`; the highest generation `g` is read."""

    format_version: int = FORMAT_VERSION
    number: int
    run_id: str
    generation: int = 0
    recipe_sha256: str
    is_explore: bool = False
    roots: dict[str, str]
    plan: StoredObject
    units: int
    sources: int
    ignored: int = 0
    estimated_s: float = 0.0
    is_closed: bool = False
    created_at: Instant
    report: str | None = None


class Counts(Frozen):
    """The account of one unit or run: `sources = emitted + rejected + held + erased`, always."""

    sources: int = 0
    emitted: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    held: dict[str, int] = Field(default_factory=dict)
    erased: int = 0
    utterances: int = 0
    utterances_rejected: dict[str, int] = Field(default_factory=dict)
    source_bytes: int = 0
    source_s: float = 0.0
    speech_s: float = 0.0
    utterance_s: float = 0.0

    @property
    def rejected_total(self) -> int:
        return sum(self.rejected.values())

    @property
    def held_total(self) -> int:
        return sum(self.held.values())

    @property
    def is_conserved(self) -> bool:
        return self.sources == self.emitted + self.rejected_total + self.held_total + self.erased

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            sources=self.sources + other.sources,
            emitted=self.emitted + other.emitted,
            rejected=_summed(self.rejected, other.rejected),
            held=_summed(self.held, other.held),
            erased=self.erased + other.erased,
            utterances=self.utterances + other.utterances,
            utterances_rejected=_summed(self.utterances_rejected, other.utterances_rejected),
            source_bytes=self.source_bytes + other.source_bytes,
            source_s=round(self.source_s + other.source_s, 6),
            speech_s=round(self.speech_s + other.speech_s, 6),
            utterance_s=round(self.utterance_s + other.utterance_s, 6),
        )


def _summed(left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in sorted({*left, *right})}


class Commit(Frozen):
    """`commits/<run_id>/<unit_id>.<generation>.json`: the truth. It names no source path, key or subject, for a
    commit file is never deleted."""

    format_version: int = FORMAT_VERSION
    run_id: str
    unit_id: str
    generation: int = 0
    collected_at: Instant | None = None
    """When `provoice gc` made this generation: it names no object any more, and its account is the one before's. In
    generation 0 it closes the unit of a closed run, of which nothing is accounted for."""
    writer: str
    """Token of the attempt that wrote it: whoever is refused and finds its own token here has succeeded."""
    recipe_sha256: str
    objects: tuple[StoredObject, ...]
    counts: Counts
    ledger_position: int
    decided_at: Instant
    committed_at: Instant
    seconds: dict[str, float] = Field(default_factory=dict)
    """CPU seconds per stage; with `wall_s` and `peak_memory_bytes` it says what the unit cost, and where."""
    wall_s: float = 0.0
    peak_memory_bytes: int = 0
    host: str = ""
    cpu: str = ""
    attempt: int = 1
