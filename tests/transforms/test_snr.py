"""SNR by noise tracking against mixtures whose ratio is known, and the stage around both methods."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from schemas.errors import Rejected
from schemas.sound import Region, Samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import noise
from tests.transforms.utterances import speechlike, steady_noise, utterance_of
from transforms import snr
from transforms.acoustics import Acoustics
from transforms.items import Utterance
from transforms.snr import DISAGREE, TOO_SHORT, MeasureSnr, SnrConfig, click_power, do_disagree, track_noise, weighed
from transforms.spectrum import band_power, speech_frames

TRACKING = SnrConfig(method="noise_tracking")


def snr_db(samples: Samples, speech: tuple[Region, ...]) -> float | None:
    return snr.snr_db(samples, speech, TRACKING)


def _speech(samples: Samples) -> tuple[Region, ...]:
    """Where the made voice speaks: everywhere but in each eighth quarter of a second."""
    return tuple(Region(start, min(start + 28_000, len(samples))) for start in range(0, len(samples), 32_000))


@pytest.mark.parametrize("stated_db", [0.0, 5.0, 10.0, 15.0, 20.0, 25.0])
def test_speech_in_steady_noise_reads_as_mixed(stated_db: float) -> None:
    dry = speechlike(12.0, level_dbfs=-20.0)
    mixed = dry + steady_noise(dry, -20.0 - stated_db)
    measured = snr_db(mixed, _speech(mixed))
    assert measured == pytest.approx(stated_db, abs=4.0)


def test_more_noise_never_reads_cleaner() -> None:
    dry = speechlike(8.0)
    read = [snr_db(dry + steady_noise(dry, level), _speech(dry)) for level in (-60, -50, -40, -30, -20)]
    known = [value for value in read if value is not None]
    assert len(known) == 5
    assert known == sorted(known, reverse=True)


def test_level_does_not_matter() -> None:
    mixed = speechlike(6.0) + steady_noise(speechlike(6.0), -35.0)
    loud, quiet = snr_db(mixed, _speech(mixed)), snr_db(mixed * np.float32(0.05), _speech(mixed))
    assert loud == quiet


def test_rumble_below_60_hz_is_not_noise() -> None:
    dry = speechlike(8.0) + steady_noise(speechlike(8.0), -40.0)
    t = np.arange(len(dry)) / 16_000
    rumbling = dry + (0.1 * np.sin(2 * np.pi * 25 * t)).astype(np.float32)
    clean, with_rumble = snr_db(dry, _speech(dry)), snr_db(rumbling, _speech(dry))
    assert clean is not None
    assert with_rumble == pytest.approx(clean, abs=1.5)


def test_too_little_speech_or_nothing_to_measure_against_is_none() -> None:
    mixed = speechlike(4.0) + steady_noise(speechlike(4.0), -40.0)
    assert snr_db(mixed, ()) is None
    assert snr_db(mixed, (Region(0, 4_000),)) is None
    assert snr_db(mixed[:100], (Region(0, 100),)) is None
    silence = np.zeros(32_000, np.float32)
    assert snr_db(silence, (Region(0, 32_000),)) is None


def test_gated_silence_does_not_pass_for_a_clean_recording() -> None:
    mixed = speechlike(8.0) + steady_noise(speechlike(8.0), -32.0)
    gated = mixed.copy()
    for region in _speech(mixed):
        gated[region.end_sample : region.start_sample + 32_000] = 0
    open_value, gated_value = snr_db(mixed, _speech(mixed)), snr_db(gated, _speech(mixed))
    assert open_value is not None
    assert gated_value == pytest.approx(open_value, abs=4.0)


def test_clicks_are_noise_and_syllables_are_not() -> None:
    steady = band_power(noise(2.0, -50.0))
    clicking = steady.copy()
    clicking[[20, 50, 80]] *= 1000
    clicks = click_power(clicking)
    assert set(np.nonzero(clicks.sum(axis=1) > 10 * steady.sum(axis=1).mean())[0]) == {20, 50, 80}
    voice = band_power(speechlike(4.0))
    assert click_power(voice).sum() < 0.02 * voice.sum()


def test_the_tracked_noise_is_the_noise() -> None:
    dry = speechlike(10.0)
    power = band_power(dry + steady_noise(dry, -40.0))
    tracked = track_noise(power, speech_frames(_speech(dry), len(power)))
    true = band_power(steady_noise(dry, -40.0)).mean(axis=0)
    assert 10 * np.log10(tracked.sum() / true.sum()) == pytest.approx(0.0, abs=2.0)


@pytest.mark.parametrize("method", ["network", "noise_tracking"])
def test_the_stage_answers_each_in_order_whatever_the_batch(method: Literal["network", "noise_tracking"]) -> None:
    short = utterance_of(np.zeros(800, np.float32))
    items = [utterance_of(speechlike(3.0 + s, seed=s) + noise(3.0 + s, -45.0, s)) for s in range(7)] + [short]
    stage = MeasureSnr(SnrConfig(method=method))
    stage.open()
    together = [_done(answer).measurements for answer in stage(items)]
    apart = [_done(stage([item])[0]).measurements for item in items]
    assert together == apart
    assert together[7].snr_db is None
    assert all(one.snr_db is not None for one in together[:7])
    assert all((one.snr_spread_db is not None) == (method == "network") for one in together[:7])
    # What follows finds the spectrum made.
    assert _done(stage(items)[0]).band_power is not None
    assert _done(stage(items)[7]).quality_flags == (TOO_SHORT,)


def test_the_network_is_named_where_it_measured() -> None:
    item = utterance_of(speechlike(3.0) + noise(3.0, -45.0))
    heard, tracked = (
        _done(MeasureSnr(SnrConfig(method=method))([item])[0]) for method in ("network", "noise_tracking")
    )
    assert list(heard.models) == ["provoice_acoustics"]
    assert dict(heard.models) == MeasureSnr(SnrConfig(method="network")).model_ids
    assert dict(tracked.models) == MeasureSnr(TRACKING).model_ids == {}


def test_estimators_disagree_when_they_are_further_apart_than_the_spread_explains() -> None:
    sure, unsure = (Acoustics(20.0, spread, 10.0, 1.0, 0.5, 1.2) for spread in (1.0, 7.0))
    assert [do_disagree(sure, other) for other in (20.0, 11.0, 9.0, 31.0, None)] == [False, False, True, True, False]
    assert [do_disagree(unsure, other) for other in (7.0, 5.0)] == [False, True]


def test_a_noise_that_speaks_is_flagged() -> None:
    # Noise tracking takes bursts that come like syllables for speech; the flag says that the two differ.
    item = utterance_of(speechlike(6.0) + noise(6.0, -45.0), acoustics=Acoustics(2.0, 1.0, 10.0, 1.0, 0.5, 1.2))
    answer = _done(MeasureSnr(SnrConfig(method="network"))([item])[0])
    assert answer.measurements.snr_db == 2.0
    assert answer.quality_flags == (DISAGREE,)


@pytest.mark.parametrize("flag", [TOO_SHORT, DISAGREE])
def test_a_reader_finds_what_a_flag_means(flag: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "manifests.md"
    assert f"`{flag}`" in page.read_text(encoding="utf-8")


def _done(answer: Utterance | Rejected) -> Utterance:
    assert isinstance(answer, Utterance)
    return answer


def test_real_pairs_read_within_6_db() -> None:
    import soundfile

    with shared_audio("noisy_pairs.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        samples, rate = soundfile.read(shared_audio(row["file"]), dtype="float32")
        assert rate == 16_000
        clean, _ = soundfile.read(shared_audio(row["clean"]), dtype="float32")
        active = np.convolve(clean**2, np.full(400, 1 / 400), mode="same") > 1e-3 * np.max(clean**2) / 10
        inside = np.nonzero(active)[0]
        measured = snr_db(samples, (Region(int(inside[0]), int(inside[-1]) + 1),))
        assert measured == pytest.approx(float(row["active_snr_db"]), abs=6.0), row["file"]


def test_real_speech_in_real_rain_ranks_by_what_was_mixed() -> None:
    import soundfile
    import soxr

    folder = shared_audio("speakers/librispeech_test-other/1688")
    speech, _ = soundfile.read(folder / "1688-142285-0003.flac", dtype="float32")
    rain, rate = soundfile.read(shared_audio("noise/rain.mp3"), dtype="float32")
    rain = soxr.resample(rain, rate, 16_000)[: len(speech)]
    everything = (Region(4_000, len(rain) - 4_000),)
    scale = np.sqrt(np.mean(speech[: len(rain)] ** 2) / np.mean(rain**2))
    read = []
    for stated in (0, 10, 20):
        mixed = (speech[: len(rain)] + rain * scale * 10 ** (-stated / 20)).astype(np.float32)
        value = snr_db(mixed, everything)
        assert value is not None
        assert value == pytest.approx(stated, abs=5.0)
        read.append(value)
    assert read == sorted(read)


def test_where_the_network_is_lost_noise_tracking_has_its_say():
    sure, lost = (Acoustics(15.0, spread, 25.0, 0.5, 0.15, 1.1) for spread in (2.0, 12.0))
    assert weighed(sure, 30.0) == (15.0, 2.0)
    assert weighed(lost, None) == (15.0, 12.0)
    assert weighed(lost, 30.0) == (28.5, 3.8)
    in_a_room = Acoustics(15.0, 12.0, 8.0, 2.0, 0.8, 1.2)
    assert weighed(in_a_room, 30.0) == (15.0, 12.0)
