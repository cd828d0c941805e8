"""Who speaks when: turns with labels that are local to a recording, and how many voices there are.

Four backends behind one interface: `embedded` listens, `pyannote` does so with pyannote.audio's models, `rttm` believes
what it is told, `single` takes one voice per track on trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import Field, model_validator

from schemas.errors import Rejected
from schemas.model import Frozen
from transforms.diarize.backend import Backend, Heard, TogetherBackend
from transforms.diarize.embedded import EmbeddedConfig, EmbeddedVoices
from transforms.diarize.given import GivenTurns
from transforms.diarize.pyannote import PyannoteVoices
from transforms.diarize.pyannote_files import PyannoteConfig
from transforms.diarize.single import SingleVoice
from transforms.items import Recording
from transforms.stage import each

__all__ = ["Diarize", "DiarizeConfig", "EmbeddedConfig", "Heard", "PyannoteConfig"]


class DiarizeConfig(Frozen):
    """Who speaks when, and by which backend that is told."""

    backend: Literal["embedded", "pyannote", "rttm", "single"] = Field(
        default="embedded",
        description="`embedded` listens; `pyannote` does so with models that are brought; `rttm` takes turns that are "
        "brought; `single` is one voice",
    )
    speakers: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="exactly so many voices in each recording; the catalogue's `speakers` goes first; null: unknown",
    )
    max_speakers: int | None = Field(default=None, ge=1, le=100, description="at most so many voices; null: no limit")
    rttm: str | None = Field(
        default=None,
        description="RTTM file, or folder of them, for backend `rttm`; null: `<name>.rttm` beside the source",
    )
    embedded: EmbeddedConfig = Field(default=EmbeddedConfig(), description="how `embedded` tells voices apart")
    pyannote: PyannoteConfig = Field(default=PyannoteConfig(), description="what `pyannote` listens with")

    @model_validator(mode="after")
    def _consistent(self) -> DiarizeConfig:
        if self.rttm is not None and self.backend != "rttm":
            raise ValueError(f"rttm is set, but backend is `{self.backend}`")
        if self.speakers is not None and self.max_speakers is not None and self.speakers > self.max_speakers:
            raise ValueError(f"speakers ({self.speakers}) is more than max_speakers ({self.max_speakers})")
        return self


def backend_of(config: DiarizeConfig) -> Backend:
    """The backend that is configured, not opened yet."""
    if config.backend == "rttm":
        return GivenTurns(config.rttm)
    if config.backend == "single":
        return SingleVoice()
    if config.backend == "pyannote":
        return PyannoteVoices(config.pyannote, config.speakers, config.max_speakers)
    return EmbeddedVoices(config.embedded, config.speakers, config.max_speakers)


class Diarize:
    """Fills `turns`, and, where the backend listens, `voices` and `extra_voice_s`. Labels are no identities:
    whose voice a turn is, the catalogue decides (`transforms/binding.py`).

    Rejects with TURNS_MISSING where turns were to be brought and none name the recording.
    """

    name, version = "diarize", 3

    def __init__(self, config: DiarizeConfig) -> None:
        self.config = config
        self._backend = backend_of(config)

    @property
    def model_ids(self) -> Mapping[str, str]:
        """The models that listen, by name. Raises ConfigError where one, or the RTTM, cannot be had."""
        return self._backend.model_ids()

    def open(self) -> None:
        """Loads the models; ConfigError where one is missing or is not what it should be."""
        self._backend.open()

    def __call__(self, batch: list[Recording]) -> list[Recording | Rejected]:
        if isinstance(self._backend, TogetherBackend):
            answers = self._backend.heard_together(batch)
            return [
                heard if isinstance(heard, Rejected) else self._told(recording, heard)
                for recording, heard in zip(batch, answers, strict=True)
            ]
        return each(batch, lambda recording: self._told(recording, self._backend.heard(recording)))

    def _told(self, recording: Recording, heard: Heard) -> Recording:
        told = replace(recording, turns=heard.turns, voices=heard.voices, extra_voice_s=heard.extra_voice_s)
        return told.with_models(self.model_ids)
