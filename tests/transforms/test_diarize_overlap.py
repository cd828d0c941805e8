"""Two who speak at once: what the detector is given, in what pieces, and what it says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.sound import Region
from tests.shared_audio import shared_audio
from tests.transforms.test_diarize_clustering import windows_for
from transforms.diarize.overlap import (
    BANDS,
    DETECTOR,
    bands_of,
    detector_path,
    open_detector,
    probability_together,
    together_in,
)
from transforms.models import sha256_of

RATE = 16_000
REACH = 64
"""Answers to either side that the network looks at."""


class Near:
    """In place of the network: the mean of the bands over as far as the network looks."""

    def run(self, _: object, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        level = feeds["bands"][0].mean(0)[::2]
        mean = np.convolve(level, np.ones(2 * REACH + 1) / (2 * REACH + 1), "same").astype(np.float32)
        return [np.stack([mean, 1 + mean])[None]]


def voice_like(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    swing = 1 + np.sin(2 * np.pi * 3 * np.arange(n) / RATE)
    return (0.05 * swing * rng.standard_normal(n)).astype(np.float32)


def test_bands_are_levels_whatever_the_gain() -> None:
    samples = voice_like(4)
    assert bands_of(samples).shape == (BANDS, 200)
    assert np.abs(bands_of(samples) - bands_of(samples * 0.1)).max() < 0.05
    assert bands_of(samples[:0]).shape == (BANDS, 0)
    assert np.isfinite(bands_of(np.zeros(RATE, np.float32))).all()


def test_a_tone_is_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE).astype(np.float32)
    assert abs(int(bands_of(tone)[:, 25].argmax()) - (500 / 15.625 - 4)) <= 1


def test_pieces_do_not_show() -> None:
    """Answers near a piece's edge are those of the whole track heard at once."""
    samples = voice_like(150)
    (whole,) = Near().run(None, {"bands": bands_of(samples)[None]})
    found = probability_together(lambda a, b: samples[a:b], len(samples), [Region(0, len(samples))], Near())
    assert len(found) == 150 * 25
    assert np.abs(found - whole[0, 1]).max() < 1e-4


def test_hours_are_heard_a_minute_at_a_time_and_only_where_there_is_speech() -> None:
    hours = 10 * 3600 * RATE
    asked: list[tuple[int, int]] = []

    def read(start: int, end: int) -> NDArray[np.float32]:
        asked.append((start, end))
        return np.zeros(end - start, np.float32)

    speech = [Region(n * 1800 * RATE, (n * 1800 + 5) * RATE) for n in range(1, 20)]
    found = probability_together(read, hours, speech, Near())
    assert len(asked) == len(speech)
    assert max(end - start for start, end in asked) <= 80 * RATE
    assert found.nbytes < 4 << 20


def test_nobody_speaks_where_nobody_was_heard() -> None:
    samples = voice_like(10)
    found = probability_together(lambda a, b: samples[a:b], len(samples), [Region(2 * RATE, 4 * RATE)], Near())
    assert found[:50].max() == found[100:].max() == 0
    assert found[50:100].min() > 0


def test_a_windows_share_is_the_mean_over_what_it_answers_for() -> None:
    windows = windows_for(4, pause_every=4)
    probability = np.zeros(120, np.float32)
    probability[30:60], probability[60:75] = 1.0, 0.5
    assert together_in(windows, probability) == pytest.approx([0, 1, 0.25, 0], abs=0.05)
    assert together_in(windows, probability[:100]) == pytest.approx([0, 1, 0.25, 0], abs=0.05)


def test_the_weights_are_small_and_named_by_their_sheet() -> None:
    assert sha256_of(detector_path()) == DETECTOR.sha256
    assert detector_path().stat().st_size <= 1_000_000
    assert DETECTOR.sha256 in detector_path().with_suffix(".md").read_text()


@pytest.mark.parametrize("pair", [("1998", "2414"), ("533", "2414")])
def test_two_readers_at_once_sound_like_two_and_each_alone_like_one(pair: tuple[str, str]) -> None:
    """Readers whom the detector has not learnt from."""
    import soundfile

    def level(speaker: str) -> NDArray[np.float32]:
        folder = shared_audio(f"speakers/librispeech_test-other/{speaker}")
        samples = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("*.flac"))])
        return np.asarray(samples[: 20 * RATE] / np.sqrt(np.mean(samples[: 20 * RATE] ** 2)) * 0.05, np.float32)

    def mean(samples: NDArray[np.float32]) -> float:
        whole = [Region(0, len(samples))]
        return float(probability_together(lambda a, b: samples[a:b], len(samples), whole, open_detector()).mean())

    one, other = (level(speaker) for speaker in pair)
    assert mean(one + other) > max(mean(one), mean(other)) + 0.15
    assert max(mean(one), mean(other)) < 0.2
