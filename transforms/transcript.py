"""Which words of the catalogue belong to an utterance: all that is said in it and nothing else, or none."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schemas.catalogue import TextSpan
from schemas.sound import Region, merged, total_samples
from transforms.items import Recording, Track
from transforms.spans import common, remaining, within
from transforms.vad import EDGE_S

if TYPE_CHECKING:
    from transforms.cut import Cut

CUT_THROUGH_SHARE = 0.1
"""A span belongs to an utterance that has all but this share of its speech, and is out of one that has no more."""
SLACK_S = 0.5
"""Seconds by which transcripts are commonly off at the ends of a span; no more speech than this may be amiss."""


def text_of(recording: Recording, cut: Cut, n_cuts: int) -> str | None:
    """Text of `cut`, one of `n_cuts` of the recording; None where the catalogue has none that is surely its own."""
    return Transcript(recording).text_of(cut, n_cuts)


class Transcript:
    """The catalogue's text of one recording, prepared for many cuts."""

    def __init__(self, recording: Recording) -> None:
        row = recording.catalogue
        self._speech = recording.speech
        self._tracks: tuple[Track, ...] = recording.decoded.tracks if recording.decoded else ()
        self._text = (row.text or "").strip()
        self._spans = sorted(row.text_spans, key=lambda span: (span.start_s, span.end_s))
        self._longest_s = max((span.end_s - span.start_s for span in self._spans), default=0.0)

    def text_of(self, cut: Cut, n_cuts: int) -> str | None:
        """The text of the whole recording for the only cut, where that holds all of its speech; else the text of the
        spans that lie in the cut, in order. None where a span is cut through, where speech in the cut has no span, or
        where another track speaks in a span, for spans do not say whose they are."""
        if self._text and n_cuts == 1 and self._holds_everything(cut):
            return self._text
        rate = self._tracks[cut.track_index].sample_rate_hz
        inside: list[tuple[Region, str]] = []
        for span in self._near(cut.region.start_sample / rate, cut.region.end_sample / rate):
            start = round(span.start_s * rate)
            place = Region(start, max(start + 1, round(span.end_s * rate)))
            belongs = self._belongs(place, cut)
            if belongs is None:
                return None
            if belongs:
                inside.append((place, span.text.strip()))
        untold = remaining(cut.speech, merged(place for place, _ in inside))
        if any(part.n_samples > SLACK_S * rate for part in untold):
            return None
        return " ".join(text for _, text in inside if text) or None

    def _holds_everything(self, cut: Cut) -> bool:
        for index, regions in enumerate(self._speech):
            held = cut.speech if index == cut.track_index else ()
            if any(not within(region, held) for region in regions):
                return False
            if any(part.n_samples > EDGE_S * self._tracks[index].sample_rate_hz for part in remaining(regions, held)):
                return False
        return True

    def _near(self, start_s: float, end_s: float) -> Sequence[TextSpan]:
        first = bisect_right(self._spans, start_s - self._longest_s, key=lambda span: span.start_s)
        last = bisect_left(self._spans, end_s, key=lambda span: span.start_s)
        return [span for span in self._spans[max(0, first - 1) : last] if span.end_s > start_s]

    def _belongs(self, place: Region, cut: Cut) -> bool | None:
        """Whether what is said at `place` is said in the cut; None where only a part of it is, or nobody can tell."""
        rate = self._tracks[cut.track_index].sample_rate_hz
        # Where VAD heard nothing in a span, its words are taken to fill it.
        spoken = within(place, self._speech[cut.track_index]) or [place]
        of_cut = cut.speech if within(place, self._speech[cut.track_index]) else (cut.region,)
        total = total_samples(spoken)
        slack = min(CUT_THROUGH_SHARE * total, SLACK_S * rate)
        inside = total_samples(common(spoken, of_cut))
        if inside <= slack:
            return False
        if total - inside > slack or self._is_told_elsewhere(place, cut.track_index):
            return None
        return True

    def _is_told_elsewhere(self, place: Region, track_index: int) -> bool:
        rate = self._tracks[track_index].sample_rate_hz
        for index, track in enumerate(self._tracks):
            if index != track_index:
                heard = total_samples(within(place.rescaled(rate, track.sample_rate_hz), self._speech[index]))
                if heard > CUT_THROUGH_SHARE * place.n_samples * track.sample_rate_hz / rate:
                    return True
        return False
