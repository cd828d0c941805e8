"""Who speaks when, heard by a speaker encoder that runs on any CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region
from transforms.diarize.backend import Heard, known_count, labelled
from transforms.diarize.encoder import embed, encoder_models, open_encoder
from transforms.diarize.overlap import detector_models, open_detector, probability_together, together_in
from transforms.diarize.parting import parted
from transforms.diarize.pieces import Piece, filled, pieces_of, widened
from transforms.diarize.strangers import Listened, longest_stranger_s, named_voices
from transforms.diarize.voices import find_voices, likeliest_voices, smoothed
from transforms.diarize.windows import windows_of
from transforms.items import Recording, Track
from transforms.vad import voiced_parts


class EmbeddedConfig(Frozen):
    """How the `embedded` backend tells voices apart; docs/diarization.md has what the defaults achieve."""

    cut: float = Field(
        default=0.29,
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
    detect_overlap: bool = Field(
        default=True,
        description="where the catalogue names one person, also listen for somebody who speaks over them",
    )


class EmbeddedVoices:
    """Each track is heard by itself: windows of speech, their voices, clusters, and the likeliest path through them."""

    def __init__(self, config: EmbeddedConfig, speakers: int | None = None, max_speakers: int | None = None) -> None:
        self._config = config
        self._speakers = speakers
        self._max_speakers = max_speakers
        self._session: Any = None
        self._detector: Any = None

    def model_ids(self) -> Mapping[str, str]:
        return encoder_models() | (detector_models() if self._config.detect_overlap else {})

    def open(self) -> None:
        """Loads the encoder, converting it first where the cache has none, and the overlap detector. Raises ConfigError
        where one is missing."""
        self._session = open_encoder()
        self._detector = open_detector() if self._config.detect_overlap else None

    def heard(self, recording: Recording) -> Heard:
        if recording.decoded is None or self._session is None:
            raise RuntimeError("the backend is opened, and the recording decoded, before its voices are heard")
        tracks = recording.decoded.tracks
        counts = [known_count(recording.catalogue, track, len(tracks), self._speakers) for track in tracks]
        named = named_voices(recording.catalogue)
        parts = [
            self._track(track, regions, voiced_parts(regions, probability, track.sample_rate_hz), count, named)
            for track, regions, probability, count in zip(
                tracks, recording.speech, recording.speech_probability, counts, strict=True
            )
        ]
        extra_s = longest_stranger_s([part.listened for part in parts if part.listened is not None], named)
        voices = sum(len({voice for _, voice in part.turns}) for part in parts)
        return Heard(
            turns=labelled([part.turns for part in parts]),
            # A stranger of a few seconds has no turns of their own, but has been heard.
            voices=max(voices, named + 1) if extra_s else voices,
            extra_voice_s=extra_s,
        )

    def _track(
        self, track: Track, regions: Sequence[Region], voiced: Sequence[Region], count: int | None, named: int
    ) -> _Part:
        """Who speaks when on one track, in its own samples: told by what is voiced, for all of the speech."""
        rate = track.sample_rate_hz
        heard = [region.rescaled(rate, ANALYSIS_RATE_HZ) for region in voiced]
        windows = windows_of(heard)
        if not len(windows):
            # Too short to be told by: still somebody's.
            return _Part([(region, 0) for region in regions], None)
        vectors = embed(track.read_analysis, windows, self._session)
        smooth = smoothed(vectors, windows)
        cut, least_s, most = self._config.cut, self._config.min_voice_s, self._max_speakers
        voices = find_voices(smooth, windows, cut, least_s, most=count or most)
        voice = parted(vectors, smooth, windows, likeliest_voices(smooth, windows, voices), count or most)
        # What is heard without being told is the better answer where it has the right number.
        if count is not None and len(np.unique(voice)) != count:
            voice = likeliest_voices(smooth, windows, find_voices(smooth, windows, cut, least_s, count))
        pieces = widened(pieces_of(voiced, heard, windows, voice, rate), regions)
        together = None
        if self._detector is not None and named == 1:
            # Of several people, two may speak at once; over one who is named alone, that is a stranger.
            probability = probability_together(track.read_analysis, track.n_analysis, heard, self._detector)
            together = together_in(windows, probability)
        turns = filled(pieces, round(self._config.fill_gap_s * rate))
        return _Part(turns, Listened(vectors, windows, voice, together))


@dataclass(frozen=True, slots=True)
class _Part:
    """One track: its turns as (region, voice), and what was heard, None where there was too little."""

    turns: list[Piece]
    listened: Listened | None
