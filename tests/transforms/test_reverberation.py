"""Reverberation by decay against decays whose clarity follows from their time, and measured rooms by both methods."""

from __future__ import annotations

import csv
import math
from typing import Literal

import numpy as np
import pytest

from schemas.sound import Region, Samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import noise
from tests.transforms.utterances import in_room, speechlike, utterance_of
from transforms import acoustics
from transforms.acoustics import Acoustics
from transforms.items import Measurements, Utterance
from transforms.reverberation import (
    LOW_CLARITY_DB,
    MeasureReverberation,
    Reverberation,
    ReverberationConfig,
    fall_statistics,
    reverberation,
    room_of,
    trust_flags,
)
from transforms.snr import MeasureSnr, SnrConfig
from transforms.spectrum import band_power, bands_of, mel_power


def _c50_db(rt60_s: float) -> float:
    """Clarity of a pure exponential decay."""
    return 10 * math.log10(10 ** (0.3 / rt60_s) - 1)


DECAY = ReverberationConfig(method="decay")


def _measured(samples: Samples, config: ReverberationConfig = DECAY) -> Reverberation:
    found = reverberation(samples, (Region(0, len(samples)),), config)
    assert found is not None
    return found


@pytest.mark.parametrize("rt60_s", [0.2, 0.3, 0.5, 0.8, 1.2])
def test_a_pure_decay_reads_its_clarity_and_time(rt60_s: float) -> None:
    found = _measured(in_room(speechlike(8.0), rt60_s) + noise(8.0, -70.0))
    assert found.c50_db == pytest.approx(_c50_db(rt60_s), abs=3.0)
    # The made voice has few sharp stops, so its decays look longer than real speech lets them.
    assert 1 / 2.2 < found.rt60_s / rt60_s < 2.2


def test_longer_rooms_read_longer_and_less_clear() -> None:
    found = [_measured(in_room(speechlike(8.0), rt60_s) + noise(8.0, -70.0)) for rt60_s in (0.2, 0.4, 0.7, 1.2)]
    assert [room.rt60_s for room in found] == sorted(room.rt60_s for room in found)
    assert [room.c50_db for room in found] == sorted((room.c50_db for room in found), reverse=True)


def test_level_does_not_matter() -> None:
    wet = in_room(speechlike(6.0), 0.5) + noise(6.0, -60.0)
    assert _measured(wet) == _measured(wet * np.float32(0.1))


def test_dry_speech_is_a_bound_and_says_so() -> None:
    found = _measured(speechlike(8.0) + noise(8.0, -70.0))
    assert found == Reverberation(25.0, 0.15)
    assert trust_flags(found, 20.0) == ["c50_is_lower_bound", "rt60_is_upper_bound"]


def test_a_long_room_flags_the_snr() -> None:
    assert trust_flags(Reverberation(1.0, 1.1), 12.0) == ["snr_is_lower_bound"]
    assert trust_flags(Reverberation(1.0, 1.1), None) == []
    assert trust_flags(Reverberation(3.0, 0.6), 12.0) == []
    assert trust_flags(Reverberation(-5.0, 2.5), None) == ["c50_is_upper_bound", "rt60_is_lower_bound"]


def test_too_short_or_nothing_that_falls_is_none() -> None:
    wet = in_room(speechlike(4.0), 0.5)
    for config in (DECAY, ReverberationConfig(method="network")):
        assert reverberation(wet, (Region(0, 16_000),), config) is None
        assert reverberation(wet, (), config) is None
        longer = config.model_copy(update={"min_speech_s": 3.0})
        assert reverberation(wet, (Region(0, 32_000),), longer) is None
    steady = noise(4.0, -30.0)
    assert reverberation(steady, (Region(0, len(steady)),), DECAY) is None
    assert reverberation(np.zeros(64_000, np.float32), (Region(0, 64_000),)) is None


def test_falls_are_as_steep_as_they_were_made() -> None:
    # 90 dB a second: 3.6 dB in 40 ms, 7.2 in 80, 14.4 in 160, again and again.
    t = np.arange(16_000 * 6) / 16_000
    made = noise(6.0, -20.0) * (10 ** (-90 * (t % 0.5) / 20)).astype(np.float32)
    power = band_power(made)
    falls = fall_statistics(power, np.ones(len(power), np.bool_))
    assert falls is not None
    medians = falls.reshape(3, 2, 2)[:, 1, 0]
    assert medians == pytest.approx([3.6, 7.2, 14.4], rel=0.25)


@pytest.mark.parametrize("method", ["network", "decay"])
def test_the_stage_answers_each_in_order_whatever_the_batch(method: Literal["network", "decay"]) -> None:
    rooms_s = (0.3, 1.1, 0.2, 0.6, 0.9, 2.0, 0.4)
    wet = [in_room(speechlike(4.0 + s, seed=s), rt60_s) + noise(4.0 + s, -60.0, s) for s, rt60_s in enumerate(rooms_s)]
    # Bursts are no voice to the network, so of a long room it is told what it heard; below it hears real ones.
    heard = {1: Acoustics(20.0, 1.0, 1.0, 1.0, 2.0, 1.2)}
    items = [
        *(
            utterance_of(samples, measurements=Measurements(snr_db=20.0), acoustics=heard.get(n))
            for n, samples in enumerate(wet)
        ),
        utterance_of(noise(0.5)),
    ]
    stage = MeasureReverberation(ReverberationConfig(method=method))
    stage.open()
    together = [answer for answer in stage(items) if isinstance(answer, Utterance)]
    apart = [answer for item in items for answer in stage([item]) if isinstance(answer, Utterance)]
    assert [a.measurements for a in together] == [a.measurements for a in apart]
    assert len(together) == 8
    assert all((one.measurements.c50_spread_db is not None) == (method == "network") for one in together[:7])
    is_flagged = ["snr_is_lower_bound" in one.quality_flags for one in together[:7]]
    assert is_flagged == [
        (99 if one.measurements.c50_db is None else one.measurements.c50_db) < LOW_CLARITY_DB for one in together[:7]
    ]
    assert is_flagged[1]
    assert not is_flagged[2]
    assert together[7].measurements.c50_db is None
    assert together[7].quality_flags == ("too_short",)


def test_a_spectrum_made_before_is_used() -> None:
    wet = in_room(speechlike(4.0), 0.5) + noise(4.0, -60.0)
    mels = mel_power(wet)
    item = utterance_of(wet * 0, band_power=bands_of(mels), mel_power=mels)
    (made_before,) = MeasureReverberation(DECAY)([item])
    assert isinstance(made_before, Utterance)
    assert made_before.measurements.c50_db == _measured(wet).c50_db


def test_decays_count_where_there_is_little_noise() -> None:
    fallen = Reverberation(12.0, 0.5)

    def c50_db(snr_db: float, said_db: float = 8.0) -> float | None:
        room = room_of(Acoustics(snr_db, 1.0, said_db, 1.0, 0.4, 1.2), fallen)
        return None if room is None else room.c50_db

    assert [c50_db(snr_db) for snr_db in (-5.0, 10.0, 15.0, 20.0, 40.0)] == [8.0, 8.0, 9.0, 10.0, 10.0]
    assert c50_db(30.0, 25.0) == 25.0, "dry speech stays at its bound"
    assert room_of(None, fallen) is None
    assert room_of(Acoustics(30.0, 1.0, 8.0, 1.0, 0.4, 1.2), None) == Reverberation(8.0, 0.4, 1.0)


def test_the_network_is_asked_once_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        acoustics, "acoustics_of", lambda *_: asked.append(1) or Acoustics(12.0, 1.0, 8.0, 1.0, 0.4, 1.2)
    )
    stages = (MeasureSnr(SnrConfig(method="network")), MeasureReverberation(ReverberationConfig(method="network")))
    (item,) = stages[0]([utterance_of(speechlike(4.0))])
    assert isinstance(item, Utterance)
    (item,) = stages[1]([item])
    assert isinstance(item, Utterance)
    assert len(asked) == 1
    assert (item.acoustics, item.measurements.rt60_s) == (Acoustics(12.0, 1.0, 8.0, 1.0, 0.4, 1.2), 0.4)
    assert item.measurements.snr_db == 12.0


@pytest.mark.parametrize("method", ["network", "decay"])
@pytest.mark.parametrize("name", ["impulse_response_0", "rir48000", "sb_rir1", "otala_mic1_speaker2"])
def test_measured_rooms(name: str, method: Literal["network", "decay"]) -> None:
    import soundfile
    import soxr

    with shared_audio("rooms.csv").open() as lines:
        room = next(row for row in csv.DictReader(lines) if row["file"] == f"rooms/{name}.wav")
    assert room["reliable"] == "1"
    response, rate = soundfile.read(shared_audio(room["file"]), dtype="float32", always_2d=True)
    response = soxr.resample(response[:, 0], rate, 16_000)
    found = []
    for file in ("1688/1688-142285-0000", "1998/1998-15444-0000", "367/367-130732-0000"):
        dry, _ = soundfile.read(shared_audio(f"speakers/librispeech_test-other/{file}.flac"), dtype="float32")
        wet = np.convolve(dry[:160_000], response)[: len(dry[:160_000])]
        heard = (0.3 * wet / np.abs(wet).max()).astype(np.float32)
        found.append(_measured(heard, ReverberationConfig(method=method)))
    assert np.mean([room_.c50_db for room_ in found]) == pytest.approx(float(room["C50"]), abs=3.0)
    assert 1 / 1.5 < np.mean([room_.rt60_s for room_ in found]) / float(room["T30"]) < 1.5
