"""Diarization: who speaks when, by one of several backends behind one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from transforms.diarize.backend import Backend
from transforms.diarize.embedded import EmbeddedConfig, EmbeddedVoices
from transforms.diarize.given import GivenTurns
from transforms.diarize.single import SingleVoice
from transforms.items import Recording
from transforms.stage import each

__all__ = ["Diarize", "DiarizeConfig", "EmbeddedConfig"]


class DiarizeConfig(Frozen):
    """Who tells the speakers apart, and what is known of them."""

    backend: Literal["embedded", "rttm", "single"] = Field(
        default="embedded",
        description="`embedded` listens, on any CPU; `rttm` reads turns you bring; `single` takes one voice on trust",
    )
    speakers: int | None = Field(
        default=None, ge=1, le=100, description="how many speak, where that is known; the catalogue's word comes first"
    )
    max_speakers: int | None = Field(default=None, ge=1, le=100, description="the most that may speak")
    rttm: str | None = Field(
        default=None, description="file or folder of RTTM for the backend rttm; null: `<name>.rttm` beside the source"
    )
    embedded: EmbeddedConfig = Field(
        default=EmbeddedConfig(), description="how the backend embedded tells voices apart"
    )


class Diarize:
    """Sets `turns`, `voices` and `extra_voice_s`."""

    name, version = "diarize", 1

    def __init__(self, config: DiarizeConfig) -> None:
        self.config = config
        self._backend = _backend(config)

    @property
    def model_ids(self) -> Mapping[str, str]:
        """The models that listen. Raises ConfigError where one cannot be had."""
        return self._backend.model_ids()

    def open(self) -> None:
        self._backend.open()

    def __call__(self, batch: list[Recording]) -> list[Recording | Rejected]:
        return each(batch, self._diarized)

    def _diarized(self, recording: Recording) -> Recording:
        heard = self._backend.heard(recording)
        found = replace(recording, turns=heard.turns, voices=heard.voices, extra_voice_s=heard.extra_voice_s)
        return found.with_models(self._backend.model_ids())


def _backend(config: DiarizeConfig) -> Backend:
    if config.backend == "rttm":
        return GivenTurns(config.rttm)
    if config.backend == "single":
        return SingleVoice()
    return EmbeddedVoices(config.embedded, config.speakers, config.max_speakers)
