"""The network that ships: right about real speech in noise and rooms made here, and the same in any company."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ConfigError
from schemas.sound import Samples
from tests.speech import conversation
from tests.transforms.builders import noise
from tests.transforms.utterances import in_room
from training.mixtures import mix
from transforms import acoustics as module
from transforms.acoustics import (
    C50_RANGE_DB,
    RT60_RANGE_S,
    STEP_HZ,
    Acoustics,
    acoustics,
    acoustics_of,
    frame_acoustics,
    network_path,
    open_network,
)
from transforms.spectrum import mel_power


def speech(seconds: float = 4.0) -> Samples:
    """One person alone on a telephone line, again and again where more is asked."""
    alone = conversation()[20 * 16_000 : 24 * 16_000].astype(np.float32)
    return np.resize(alone, round(seconds * 16_000))


def said(samples: Samples) -> Acoustics:
    found = acoustics(samples, open_network())
    assert found is not None
    return found


@pytest.fixture
def reopened() -> Iterator[None]:
    """Sessions are kept per process; a test that opens another leaves none behind."""
    open_network.cache_clear()
    yield
    open_network.cache_clear()


@pytest.mark.parametrize("stated_db", [0.0, 5.0, 10.0, 15.0])
@pytest.mark.parametrize("colour", ["white", "brown"])
def test_speech_in_noise_reads_as_mixed(stated_db: float, colour: str) -> None:
    # Clean to some 30 dB by itself.
    hiss = noise(4.0, -30.0)
    added = hiss if colour == "white" else (np.cumsum(hiss - hiss.mean()) * 0.02).astype(np.float32)
    found = said(mix(speech(), added, stated_db))
    assert found.snr_db == pytest.approx(stated_db, abs=3.0)
    assert 0.2 < found.snr_spread_db < 5


def test_more_noise_never_reads_cleaner() -> None:
    read = [said(mix(speech(), noise(4.0, -30.0), snr_db)).snr_db for snr_db in (-5, 0, 5, 10, 15, 20)]
    assert read == sorted(read)
    assert read[-1] - read[0] > 18


def test_rooms_read_as_they_were_made() -> None:
    times_s = (0.3, 0.6, 1.0, 1.6)
    rooms = [said(in_room(speech(), time_s)) for time_s in times_s]
    for room, time_s in zip(rooms, times_s, strict=True):
        assert 1 / 1.5 < room.rt60_s / time_s < 1.5
        assert room.c50_db == pytest.approx(10 * math.log10(10 ** (0.3 / time_s) - 1), abs=3.5)
        assert room.rt60_spread_factor > 1
    assert [room.rt60_s for room in rooms] == sorted(room.rt60_s for room in rooms)
    assert [room.c50_db for room in rooms] == sorted((room.c50_db for room in rooms), reverse=True)


def test_noise_makes_it_less_sure_of_the_room() -> None:
    wet = in_room(speech(), 0.6)
    assert said(mix(wet, noise(4.0), 0.0)).c50_spread_db > said(mix(wet, noise(4.0), 30.0)).c50_spread_db


def test_level_does_not_matter() -> None:
    mixed = mix(speech(), noise(4.0), 12.0)
    loud, quiet = said(mixed), said(mixed * np.float32(0.01))
    assert quiet.snr_db == pytest.approx(loud.snr_db, abs=0.1)
    assert quiet.c50_db == pytest.approx(loud.c50_db, abs=0.1)


def test_rumble_below_60_hz_hardly_matters() -> None:
    mixed = mix(speech(), noise(4.0), 15.0)
    rumble = (0.2 * np.sin(2 * np.pi * 22 * np.arange(len(mixed)) / 16_000)).astype(np.float32)
    assert said(mixed + rumble * np.abs(mixed).max()).snr_db == pytest.approx(said(mixed).snr_db, abs=2.0)


def test_digital_silence_around_speech_is_not_a_clean_room() -> None:
    mixed = mix(speech(), noise(4.0), 10.0)
    padded = np.concatenate([np.zeros(32_000, np.float32), mixed, np.zeros(48_000, np.float32)])
    assert said(padded).snr_db == pytest.approx(said(mixed).snr_db, abs=1.0)


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3])
def test_too_short_or_silent_is_none(seconds: float) -> None:
    assert acoustics(noise(seconds) if seconds else np.zeros(0, np.float32), open_network()) is None
    assert acoustics(np.zeros(64_000, np.float32), open_network()) is None


def test_half_a_minute_is_heard_whole() -> None:
    found = said(mix(speech(30.0), noise(30.0), 10.0))
    assert found.snr_db == pytest.approx(10.0, abs=3.0)


def test_estimates_stay_within_what_training_spanned() -> None:
    for samples in (noise(4.0), speech(), in_room(speech(), 4.0), np.sign(noise(4.0)).astype(np.float32)):
        found = said(samples)
        assert C50_RANGE_DB[0] <= found.c50_db <= C50_RANGE_DB[1]
        assert RT60_RANGE_S[0] <= found.rt60_s <= RT60_RANGE_S[1]


def test_frames_say_where_somebody_speaks_and_how_far_it_stands_out() -> None:
    words = speech(4.0)
    samples = np.concatenate([words, np.zeros(32_000, np.float32)]) + noise(6.0, -50.0)
    found = frame_acoustics(samples, open_network())
    assert len(found.speech_probability) == len(found.snr_db) == pytest.approx(6.0 * STEP_HZ, abs=2)
    during, after = slice(0, 4 * STEP_HZ), slice(round(4.3 * STEP_HZ), None)
    assert found.speech_probability[during].mean() > 0.4
    assert found.speech_probability[after].mean() < 0.2
    assert np.median(found.snr_db[during]) > np.median(found.snr_db[after]) + 10


def test_frames_keep_their_place_around_digital_silence() -> None:
    words = mix(speech(4.0), noise(4.0), 20.0)
    found = frame_acoustics(np.concatenate([np.zeros(32_000, np.float32), words]), open_network())
    assert found.speech_probability[: 2 * STEP_HZ - 2].max() == 0.0
    assert found.speech_probability[2 * STEP_HZ :].mean() > 0.4
    nothing = frame_acoustics(np.zeros(16_000, np.float32), open_network())
    assert nothing.speech_probability.max() == 0.0


def test_one_pass_answers_the_same_each_time() -> None:
    mels = mel_power(mix(speech(5.0), noise(5.0), 8.0))
    assert acoustics_of(mels, open_network()) == acoustics_of(mels.copy(), open_network())


@pytest.mark.usefixtures("reopened")
def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "acoustics.onnx"
    damaged.write_bytes(network_path().read_bytes()[:-1] + b"\0")
    monkeypatch.setattr(module, "network_path", lambda: damaged)
    with pytest.raises(ConfigError, match=r"sha256 .* expected .*; install provoice again"):
        open_network()
    monkeypatch.setattr(module, "network_path", lambda: tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match="cannot read the model"):
        open_network()
