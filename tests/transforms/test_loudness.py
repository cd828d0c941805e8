"""Loudness against the standard's own reference signals and against pyloudnorm."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from schemas.sound import Samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import noise, tone
from tests.transforms.utterances import speechlike, utterance_of
from transforms.items import Utterance
from transforms.loudness import LoudnessConfig, MeasureLoudness, k_weighted, loudness_lufs


def _by_pyloudnorm(samples: Samples) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyloudnorm

        return float(pyloudnorm.Meter(16_000).integrated_loudness(samples.astype(np.float64)))


def test_a_full_scale_sine_near_1_khz_reads_minus_3() -> None:
    # ITU-R BS.1770-4: 0 dB FS at 997 Hz in one channel is −3.01 LKFS. pyloudnorm's filters read 0.1 LU lower.
    assert loudness_lufs(tone(5.0, 997.0, level_dbfs=-3.01)) == pytest.approx(-3.01, abs=0.15)


def test_a_tone_20_db_down_reads_20_lu_down() -> None:
    loud, quiet = loudness_lufs(tone(3.0, 997.0, -10.0)), loudness_lufs(tone(3.0, 997.0, -30.0))
    assert loud is not None
    assert quiet is not None
    assert loud - quiet == pytest.approx(20.0, abs=0.02)


@pytest.mark.parametrize("seconds", [0.4, 0.449, 0.451, 0.5, 1.0, 3.33, 17.05])
def test_equals_pyloudnorm(seconds: float) -> None:
    for samples in (noise(seconds, -25.0), tone(seconds, 100.0, -20.0), speechlike(seconds, -30.0)):
        assert loudness_lufs(samples) == pytest.approx(_by_pyloudnorm(samples), abs=0.01)


def test_equals_pyloudnorm_where_gates_matter() -> None:
    made = np.concatenate([tone(4.0, 500.0, -20.0), tone(6.0, 500.0, -55.0), np.zeros(40_000, np.float32)])
    assert loudness_lufs(made) == pytest.approx(_by_pyloudnorm(made), abs=0.01)
    assert loudness_lufs(made) == pytest.approx(loudness_lufs(tone(4.0, 500.0, -20.0)), abs=0.3)


def test_the_filter_equals_a_recursion() -> None:
    import pyloudnorm
    import scipy.signal

    samples = noise(1.0, -20.0) + np.float32(0.2)
    expected = samples.astype(np.float64)
    for stage in pyloudnorm.Meter(16_000)._filters.values():
        expected = scipy.signal.lfilter(stage.b, stage.a, expected)
    for n in (1, 79, 80, 81, len(samples)):
        assert k_weighted(samples[:n]) == pytest.approx(expected[:n], abs=1e-4)


def test_what_cannot_be_measured_is_none() -> None:
    assert loudness_lufs(noise(0.39)) is None
    assert loudness_lufs(np.zeros(0, np.float32)) is None
    assert loudness_lufs(np.zeros(48_000, np.float32)) is None
    assert loudness_lufs(noise(3.0, -90.0)) is None
    assert loudness_lufs(noise(3.0, -90.0), LoudnessConfig(absolute_gate_lufs=-120)) == pytest.approx(-88.0, abs=3.0)


def test_the_stage_answers_each_in_order_whatever_the_batch() -> None:
    items = [utterance_of(noise(seconds, -30.0, seed)) for seed, seconds in enumerate((0.2, 1.3, 2.0, 7.7))]
    stage = MeasureLoudness(LoudnessConfig())
    stage.open()
    together = [answer.measurements.loudness_lufs for answer in stage(items) if isinstance(answer, Utterance)]
    assert together == [loudness_lufs(item.samples) for item in items]
    assert together[0] is None


def test_real_speech_equals_pyloudnorm() -> None:
    import soundfile

    files = sorted(shared_audio("speakers/librispeech_test-other").rglob("*.flac"))[:8]
    assert files
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32")
        assert rate == 16_000
        assert loudness_lufs(samples) == pytest.approx(_by_pyloudnorm(samples), abs=0.01), file.name
