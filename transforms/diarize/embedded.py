"""Who speaks when, heard by a speaker encoder that runs on any CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region, rescale
from transforms.diarize.backend import Heard, known_count, labelled
from transforms.diarize.encoder import HOP, embed, encoder_models, open_encoder
from transforms.diarize.parting import parted
from transforms.diarize.strangers import Listened, longest_stranger_s, named_voices
from transforms.diarize.voices import find_voices, likeliest_voices, smoothed
from transforms.diarize.windows import Windows, windows_of
from transforms.items import Recording, Track


class EmbeddedConfig(Frozen):
    """How the `embedded` backend tells voices apart; the defaults are measured in docs/decisions."""

    cut: float = Field(
        default=0.27,
        gt=0,
        lt=1,
        description="cosine distance up to which windows are one voice; less makes more voices",
    )
    min_voice_s: float = Field(
        default=3.0, ge=0, le=600, description="seconds of speech below which a cluster is nobody's"
    )
    fill_gap_s: float = Field(
        default=0.5, ge=0, le=10, description="pauses up to this many seconds are inside a speaker's turn"
    )


class EmbeddedVoices:
    """Each track is heard by itself: windows of speech, their voices, clusters, and the likeliest path through them."""

    def __init__(self, config: EmbeddedConfig, speakers: int | None = None, max_speakers: int | None = None) -> None:
        self._config = config
        self._speakers = speakers
        self._max_speakers = max_speakers
        self._session: Any = None

    def model_ids(self) -> Mapping[str, str]:
        return encoder_models()

    def open(self) -> None:
        """Loads the encoder, converting it first where the cache has none. Raises ConfigError where it is missing."""
        self._session = open_encoder()

    def heard(self, recording: Recording) -> Heard:
        if recording.decoded is None or self._session is None:
            raise RuntimeError("the backend is opened, and the recording decoded, before its voices are heard")
        tracks = recording.decoded.tracks
        counts = [known_count(recording.catalogue, track, len(tracks), self._speakers) for track in tracks]
        parts = [
            self._track(track, regions, count)
            for track, regions, count in zip(tracks, recording.speech, counts, strict=True)
        ]
        named = named_voices(recording.catalogue)
        extra_s = longest_stranger_s([part.listened for part in parts if part.listened is not None], named)
        voices = sum(len({voice for _, voice in part.turns}) for part in parts)
        return Heard(
            turns=labelled([part.turns for part in parts]),
            # A stranger of a few seconds has no turns of their own, but has been heard.
            voices=max(voices, named + 1) if extra_s else voices,
            extra_voice_s=extra_s,
        )

    def _track(self, track: Track, regions: Sequence[Region], count: int | None) -> _Part:
        """Who speaks when on one track, in its own samples."""
        rate = track.sample_rate_hz
        heard = [region.rescaled(rate, ANALYSIS_RATE_HZ) for region in regions]
        windows = windows_of(heard)
        if not len(windows):
            # Too short to be told by: still somebody's.
            return _Part([(region, 0) for region in regions], None)
        vectors = embed(track.read_analysis, windows, self._session)
        smooth = smoothed(vectors, windows)
        voices = find_voices(smooth, windows, self._config.cut, self._config.min_voice_s, count, self._max_speakers)
        voice = likeliest_voices(smooth, windows, voices)
        if count is None:
            voice = parted(vectors, smooth, windows, voice, self._max_speakers)
        turns = _turns(regions, heard, windows, voice, rate, self._config.fill_gap_s)
        return _Part(turns, Listened(vectors, windows, voice))


@dataclass(frozen=True, slots=True)
class _Part:
    """One track: its turns as (region, voice), and what was heard, None where there was too little."""

    turns: list[tuple[Region, int]]
    listened: Listened | None


def _turns(
    regions: Sequence[Region],
    heard: Sequence[Region],
    windows: Windows,
    voice: NDArray[np.int64],
    rate: int,
    fill_gap_s: float,
) -> list[tuple[Region, int]]:
    """Each region parted where the voice changes; a voice's own short pauses are filled."""
    pieces: list[tuple[Region, int]] = []
    for index, region in enumerate(regions):
        own = np.flatnonzero(windows.region == index)
        if not len(own):
            nearest = int(np.argmin(np.abs(windows.start - heard[index].start_sample // HOP)))
            pieces.append((region, int(voice[nearest])))
            continue
        starts = [own[0], *(b for a, b in pairwise(own) if voice[a] != voice[b])]
        cuts = [rescale(int(windows.own_start[at]) * HOP, ANALYSIS_RATE_HZ, rate) for at in starts[1:]]
        bounds = [region.start_sample, *cuts, region.end_sample]
        for at, (start, end) in zip(starts, pairwise(bounds), strict=True):
            inside = Region(start, end) & region if start < end else None
            if inside is not None:
                pieces.append((inside, int(voice[at])))
    return _filled(pieces, round(fill_gap_s * rate))


def _filled(pieces: list[tuple[Region, int]], gap: int) -> list[tuple[Region, int]]:
    """Neighbours of one voice with at most `gap` samples between them are one turn."""
    out: list[tuple[Region, int]] = []
    for region, who in pieces:
        if out and out[-1][1] == who and region.start_sample - out[-1][0].end_sample <= gap:
            region = Region(out.pop()[0].start_sample, region.end_sample)
        out.append((region, who))
    return out
