"""What the accuracy page is made of: only recordings that report, errors that are right, estimators that estimate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import crossed, page, sounds
from benchmarks.accuracy.conditions import Clip
from benchmarks.accuracy.errors import errors, line_through
from benchmarks.accuracy.public.decay import rt60_by_decay_s
from benchmarks.accuracy.public.nmf import nmf_snr_db
from benchmarks.accuracy.public.srmr import srmr_db
from benchmarks.accuracy.public.stnr import stnr_db
from benchmarks.accuracy.public.wada import table, wada_snr_db
from benchmarks.accuracy.result import Table
from benchmarks.accuracy.vad import activity, counted
from tests.shared_audio import has_shared_audio
from tests.transforms.builders import noise, voice
from training import split
from training.mixtures import active_speech_snr, high_passed, mix

RATE = 16_000
needs_audio = pytest.mark.skipif(not has_shared_audio(), reason="real recordings are not beside the checkout")


@needs_audio
def test_no_file_that_trains_reports() -> None:
    training = sounds.training_digests()
    assert len(training) > 200
    assert sounds.in_both(sounds.report_files(), training) == []


def test_the_same_bytes_under_another_name_are_refused(tmp_path: Path) -> None:
    trained, copied, other = tmp_path / "trained.wav", tmp_path / "copied.wav", tmp_path / "other.wav"
    trained.write_bytes(b"one sound")
    copied.write_bytes(b"one sound")
    other.write_bytes(b"another sound")
    assert sounds.in_both([copied, other], {sounds.digest(trained)}) == [copied]


@needs_audio
def test_a_training_file_cannot_be_heard() -> None:
    (first, *_) = split.noises("train")
    with pytest.raises(sounds.TrainingFile, match="may train"):
        sounds.heard(first.path)


@needs_audio
def test_what_is_heard_is_the_side_that_reports() -> None:
    reporting = split.speakers("report")
    assert {speaker for speaker, _, _ in sounds.voices()} <= set(reporting)
    assert len(sounds.voices()) > 100
    assert len(sounds.noises()) >= 5
    assert len({room for room, _ in sounds.measured_rooms()}) >= 4


def test_errors_are_those_of_the_definition() -> None:
    found = errors([0, 10, 20, 30, 40], [1, 12, None, 33, 36])
    assert (found.n, found.unknown, found.bias, found.mae) == (5, 1, 0.5, 2.5)
    assert found.p90 == pytest.approx(3.7)
    assert found.rank == 1.0
    assert errors([1, 2], [None, None]).mae is None
    assert errors([1, 2, 3, 4], [4, 3, 2, 1]).rank == -1.0


def test_a_line_is_fitted_by_least_absolute_error() -> None:
    said: list[float | None] = [1.0, 2.0, 3.0, 4.0, None, 100.0]
    offset, slope = line_through(said, [7.0, 9.0, 11.0, 13.0, 0.0, 205.0])
    assert (offset, slope) == (pytest.approx(5, abs=0.1), pytest.approx(2, abs=0.01))


@pytest.mark.parametrize("snr_db", [-5, 10, 25])
def test_wada_reads_the_model_that_it_is_made_of(snr_db: float) -> None:
    rng = np.random.default_rng(1)
    speech = rng.gamma(0.4, 1, 400_000) * rng.choice([-1, 1], 400_000)
    added = rng.standard_normal(len(speech)) * np.sqrt(np.mean(speech**2)) * 10 ** (-snr_db / 20)
    assert wada_snr_db((speech + added).astype(np.float32)) == pytest.approx(snr_db, abs=1.0)
    assert np.all(np.diff(table()[1]) >= 0)


def _mixed(snr_db: float) -> np.ndarray:
    spoken = np.concatenate([part for n in range(3) for part in (voice(2, seed=n), np.zeros(RATE, np.float32))])
    hiss = noise(len(spoken) / RATE, -26, 5)
    return (spoken + hiss * np.float32(10 ** (-snr_db / 20))).astype(np.float32)


def test_ratios_rise_with_the_ratio() -> None:
    told = [stnr_db(_mixed(snr_db)) for snr_db in (0, 15, 30)]
    assert all(value is not None for value in told)
    assert np.all(np.diff(np.array(told, float)) > 8)
    found = nmf_snr_db(_mixed(10))
    assert found is not None
    assert -20 < found < 60
    assert stnr_db(np.zeros(RATE, np.float32)) is None
    assert nmf_snr_db(np.zeros(100, np.float32)) is None


def _ringing(seconds: float) -> np.ndarray:
    """Bursts of noise that fall by 60 dB in so many seconds."""
    rng = np.random.default_rng(3)
    t = np.arange(2 * RATE) / RATE
    bursts = [rng.standard_normal(len(t)) * 10 ** (-3 * t / seconds) for _ in range(5)]
    return np.concatenate(bursts).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_decays_are_timed(seconds: float) -> None:
    assert rt60_by_decay_s(_ringing(seconds)) == pytest.approx(seconds, rel=0.15)
    assert rt60_by_decay_s(noise(1, -20)) is None


def test_modulation_falls_with_reverberation() -> None:
    rng = np.random.default_rng(0)
    dry = _mixed(60)
    tail = rng.standard_normal(RATE) * 10 ** (-3 * np.arange(RATE) / RATE)
    near, far = srmr_db(dry), srmr_db(np.convolve(dry, tail)[: len(dry)].astype(np.float32))
    assert near is not None
    assert far is not None
    assert far < near - 0.5


def test_activity_is_where_the_voice_is() -> None:
    spoken = np.concatenate([noise(1, -80), voice(2), noise(1, -80, 1)])
    truth = activity(spoken)
    assert np.flatnonzero(truth)[[0, -1]].tolist() == [pytest.approx(100, abs=4), pytest.approx(300, abs=6)]
    assert counted(truth, truth)[[1, 3]].tolist() == [0, 0]
    speech, missed, other, false, right, *_ = counted(truth, ~truth).tolist()
    assert (missed, false, right) == (speech, other, 0)


def test_a_table_takes_its_place_and_only_there() -> None:
    made = Table("x", "", ("n", "of"), (("1", "2"),))
    before = "words\n<!-- accuracy:x -->\nold\n<!-- end -->\nmore\n"
    assert page.filled(before, [made]) == (
        "words\n<!-- accuracy:x -->\n| n | of |\n| - | -: |\n| 1 |  2 |\n<!-- end -->\nmore\n"
    )
    assert page.filled(before, [Table("y", "", ("n",), (("1",),))]) == before
    with pytest.raises(page.NoPlace, match="accuracy:x"):
        page.filled("<!-- accuracy:x -->", [made])


def test_tables_without_a_place_are_named(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- accuracy:x --><!-- end -->")
    tables = [Table(name, "", ("n",), (("1",),)) for name in ("x", "y")]
    assert page.write(path, tables) == ["y"]
    assert "| 1 |" in path.read_text()


def _clip() -> Clip:
    """A voice in white noise at 10 dB, brought down by half."""
    clean = voice(4.0)
    mixed = mix(high_passed(clean), noise(4.0), 10.0)
    return Clip(0.5 * mixed, clean, 10.0, "dry", "", "white", None, None, 0.5)


def test_a_clip_comes_apart_into_its_voice_and_its_noise() -> None:
    assert active_speech_snr(*_clip().voice_and_noise) == pytest.approx(10.0, abs=0.1)


@pytest.mark.parametrize("name", list(crossed.DAMAGES))
def test_the_truth_after_a_channel_is_that_of_what_passes_it(name: str) -> None:
    clip = _clip()
    after = crossed.DAMAGES[name](clip)
    assert np.abs(after.samples).max() <= 1
    if name.startswith("hum"):
        assert 0.2 < clip.snr_db - after.snr_db < 2, "hum adds to the noise"
    elif name.startswith(("low-passed", "telephone")):
        assert after.snr_db > clip.snr_db + 1, "white noise lies where a voice does not"
    else:
        assert after.snr_db == clip.snr_db
