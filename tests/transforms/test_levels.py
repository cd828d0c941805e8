"""Peaks and shares, with answers that can be counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemas.sound import Region
from tests.transforms.builders import tone
from tests.transforms.utterances import utterance_of
from transforms.items import ChannelMeasurements, Utterance
from transforms.levels import LevelsConfig, MeasureLevels, covered_ratio, peak_dbfs


def test_peak_is_the_highest_absolute_sample() -> None:
    assert peak_dbfs(np.array([0.1, -0.5, 0.2], np.float32)) == -6.02
    assert peak_dbfs(np.array([0.1, 1.0], np.float32)) == 0.0
    assert peak_dbfs(tone(1.0, 440.0, level_dbfs=-23.01)) == pytest.approx(-20.0, abs=0.01)


def test_resampling_may_lift_a_peak_over_full_scale() -> None:
    assert peak_dbfs(np.array([1.1], np.float32)) == 0.83


def test_silence_has_no_peak() -> None:
    assert peak_dbfs(np.zeros(100, np.float32)) is None
    assert peak_dbfs(np.zeros(0, np.float32)) is None
    assert peak_dbfs(np.array([1e-4], np.float32)) == -80.0
    assert peak_dbfs(np.array([1e-4], np.float32), LevelsConfig(silence_dbfs=-60)) is None


def test_shares_count_each_sample_once() -> None:
    assert covered_ratio((Region(0, 50), Region(25, 75)), 100) == 0.75
    assert covered_ratio((), 100) == 0.0
    assert covered_ratio((Region(90, 200),), 100) == 0.1
    assert covered_ratio((Region(0, 1),), 3) == 0.3333
    assert covered_ratio((), 0) is None


def test_the_stage_measures_and_copies_the_channel() -> None:
    channel = ChannelMeasurements(
        1, peak_dbfs=-0.1, clipping_ratio=0.02, dc_offset=-0.01, bandwidth_hz=3400.0, hum_db=12.0
    )
    heard = utterance_of(tone(1.0, 300.0, -20.0), (Region(0, 8_000),), overlap=(Region(4_000, 5_600),), channel=channel)
    stage = MeasureLevels(LevelsConfig())
    stage.open()
    (answer,) = stage([heard])
    assert isinstance(answer, Utterance)
    expected = replace(
        heard.measurements,
        peak_dbfs=-16.99,
        speech_ratio=0.5,
        overlap_ratio=0.1,
        clipping_ratio=0.02,
        dc_offset=-0.01,
        bandwidth_hz=3400.0,
        hum_db=12.0,
    )
    assert answer.measurements == expected


def test_an_unmeasured_channel_stays_unmeasured() -> None:
    (answer,) = MeasureLevels(LevelsConfig())([utterance_of(tone(1.0))])
    assert isinstance(answer, Utterance)
    assert answer.measurements.clipping_ratio is None
    assert answer.measurements.bandwidth_hz is None
