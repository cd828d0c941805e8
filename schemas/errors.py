"""Every error provoice raises on purpose.

```text
ProvoiceError
├── ConfigError     a person must edit a file or a command line; raised before any worker starts (exit 2)
├── ConsentError    the ledger is missing, broken or stale; the whole run stops (exit 4)
├── OverBudget      the run would cost more than was allowed; nothing was started (exit 4)
├── LakeError       storage said something we cannot explain; nothing is deleted on doubt (exit 1)
│   └── AlreadyExists   an exclusive create lost: somebody else holds that name
├── RunStopped      the run broke and can be resumed: breaker, missing units, dead worker (exit 1)
└── Rejected        this item is unusable; it becomes a row with a reason
```
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a source or an utterance was put aside: the closed list, each with what a person can do about it."""

    UNREADABLE = "unreadable"
    NOT_AUDIO = "not_audio"
    EMPTY_AUDIO = "empty_audio"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    TOO_MANY_CHANNELS = "too_many_channels"
    BAD_SAMPLE_RATE = "bad_sample_rate"
    SOURCE_CHANGED = "source_changed"
    SOURCE_MISSING = "source_missing"
    SILENT = "silent"
    NO_SPEECH = "no_speech"
    NO_UTTERANCE = "no_utterance"
    TURNS_MISSING = "turns_missing"
    TOO_SHORT = "too_short"
    NO_SUBJECT = "no_subject"
    CLOSED_RUN = "closed_run"
    DECODER_CRASHED = "decoder_crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    STAGE_FAILED = "stage_failed"


REASON_HELP: dict[Reason, str] = {
    Reason.UNREADABLE: "no reader could decode it; the detail holds what each of them said",
    Reason.NOT_AUDIO: "the file has no audio stream; leave it out with sources.include",
    Reason.EMPTY_AUDIO: "it opened and yielded no sample; look at how it was written",
    Reason.TOO_LONG: "longer than decode.max_duration_s; raise it or split the file",
    Reason.TOO_LARGE: "more bytes than decode.max_bytes; raise it or split the file",
    Reason.TOO_MANY_CHANNELS: "more channels than decode.max_channels",
    Reason.BAD_SAMPLE_RATE: "its sample rate is outside what decode accepts",
    Reason.SOURCE_CHANGED: "its bytes changed between planning and reading; run again to plan the new version",
    Reason.SOURCE_MISSING: "it was listed and could not be opened; run again once it is back",
    Reason.SILENT: "every sample is (almost) zero",
    Reason.NO_SPEECH: "voice activity detection found no usable speech",
    Reason.NO_UTTERANCE: "there is speech, but no cut of it reached cut.min_s",
    Reason.TURNS_MISSING: "diarization is `rttm` and no RTTM names this recording",
    Reason.TOO_SHORT: "the utterance is shorter than cut.min_s after cutting at pauses",
    Reason.NO_SUBJECT: "the speech is nobody's: no span or channel of the catalogue covers it",
    Reason.CLOSED_RUN: "the run was closed while this source was in hand",
    Reason.DECODER_CRASHED: "the process that decoded it died twice on it",
    Reason.OUT_OF_MEMORY: "the process that decoded it passed limits.memory_bytes twice",
    Reason.TIMED_OUT: "it took longer than limits.seconds_per_source twice",
    Reason.STAGE_FAILED: "a stage failed on it in every try; run again after mending the stage",
}

# A retriable rejection says "not now", not "never": the next run plans the source again.
RETRIABLE: frozenset[Reason] = frozenset(
    {Reason.SOURCE_CHANGED, Reason.SOURCE_MISSING, Reason.CLOSED_RUN, Reason.STAGE_FAILED}
)

# What may be our fault rather than the file's; the breaker counts these.
SUSPICIOUS: frozenset[Reason] = frozenset(
    {Reason.DECODER_CRASHED, Reason.OUT_OF_MEMORY, Reason.TIMED_OUT, Reason.STAGE_FAILED}
)


class ProvoiceError(Exception):
    """Base of every error that provoice raises on purpose; its text is written for the person at the terminal."""


class ConfigError(ProvoiceError):
    """The request is wrong: a person must edit a file or a command line. Nothing was started."""


class ConsentError(ProvoiceError):
    """The consent ledger is missing, broken or stale. Never read as "empty"."""


class OverBudget(ProvoiceError):
    """The run would cost more than its budget, or may do so. Nothing was started."""


class LakeError(ProvoiceError):
    """Storage said something we cannot explain. Nothing is deleted on doubt."""


class AlreadyExists(LakeError):
    """An exclusive create was refused: the object is there already, written by this or another writer."""


class RunStopped(ProvoiceError):
    """The run broke before its plan was done; the same command line resumes it."""


_IN_STAGE = "in stage "


def in_stage(error: BaseException, stage: str) -> None:
    """Notes on an error in which stage it came up: whoever reads the failure asks that first."""
    error.add_note(f"{_IN_STAGE}{stage}")


def stage_of(error: BaseException) -> str:
    """What `in_stage` noted; empty where it came up elsewhere."""
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_IN_STAGE))
    return next((note.removeprefix(_IN_STAGE) for note in notes), "")


class Rejected(ProvoiceError):
    """This item is unusable. It becomes a row with `stage`, `reason` and `detail`; its neighbours go on."""

    def __init__(self, reason: Reason, detail: str = "", stage: str = "") -> None:
        super().__init__(reason, detail, stage)
        self.reason = reason
        self.detail = detail
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.stage or 'rejected'}: {self.reason.value}: {self.detail}"
