"""Diarization: who is heard, by each backend, and whether there is a voice that nobody named."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from schemas.catalogue import CatalogueRow, Subject
from schemas.errors import ConfigError, Reason, Rejected
from schemas.sound import Region, total_samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import recording_of, track_of
from transforms.diarize import Diarize, DiarizeConfig, EmbeddedConfig, embedded
from transforms.diarize.clustering import cluster, unit
from transforms.diarize.rttm import format_rttm, parse_rttm
from transforms.diarize.windows import STEP, UNHEARD, WINDOW, windows_of
from transforms.vad import DetectSpeech, VadConfig

RATE = 16_000
ANNA = CatalogueRow(subjects=(Subject(subject_id="anna"),), complete=True)


@pytest.fixture(scope="module")
def listen():
    """Speech and then voices of some 16 kHz samples, under a catalogue row."""
    detect, diarize = DetectSpeech(VadConfig()), Diarize(DiarizeConfig())
    detect.open()
    diarize.open()

    def heard(folder, samples, catalogue=ANNA):
        (found,) = detect([recording_of(track_of(folder, samples.astype(np.float32)), catalogue=catalogue)])
        return diarize([found])[0]

    return heard


def clips(speaker: str, seconds: float) -> np.ndarray:
    """Read speech of one person, level, so many seconds of it."""
    import soundfile

    files = sorted(shared_audio(f"speakers/librispeech_test-other/{speaker}").glob("*.flac"))
    joined = np.concatenate([_level(soundfile.read(path)[0]) for path in files])
    return joined[: round(seconds * RATE)]


def _level(samples: np.ndarray) -> np.ndarray:
    return samples / np.sqrt(np.mean(samples**2)) * 0.05


def test_one_person_is_one_voice_and_no_stranger(tmp_path, listen):
    heard = listen(tmp_path, clips("1688", 60))
    assert heard.voices == 1
    assert heard.extra_voice_s < 2
    assert {turn.speaker for turn in heard.turns[0]} == {"spk00"}


def test_five_seconds_of_somebody_else_are_a_stranger(tmp_path, listen):
    mine, theirs = clips("1688", 60), clips("2414", 6)[RATE:]
    heard = listen(tmp_path, np.concatenate([mine[: 30 * RATE], theirs, mine[30 * RATE :]]))
    assert heard.extra_voice_s >= 2


def test_somebody_who_speaks_over_the_one_who_is_named_is_a_stranger(tmp_path, listen):
    samples = clips("1688", 30)
    samples[12 * RATE : 18 * RATE] += clips("2414", 7)[RATE:]
    assert listen(tmp_path, samples).extra_voice_s >= 2


def test_the_detector_of_overlap_is_asked_where_one_person_is_named(tmp_path, monkeypatch):
    asked = []

    def spy(_read, n_samples, _speech, _session):
        asked.append(n_samples)
        return np.zeros(-(-n_samples // 640), np.float32)

    monkeypatch.setattr(embedded, "probability_together", spy)
    detect = DetectSpeech(VadConfig())
    detect.open()
    two = CatalogueRow(subjects=(Subject(subject_id="anna"), Subject(subject_id="ben")), complete=True)
    for catalogue, config in ((ANNA, EmbeddedConfig(detect_overlap=False)), (two, EmbeddedConfig()), (ANNA, None)):
        (found,) = detect([recording_of(track_of(tmp_path, clips("1688", 6).astype(np.float32)), catalogue=catalogue)])
        diarize = Diarize(DiarizeConfig(embedded=config or EmbeddedConfig()))
        diarize.open()
        diarize([found])
        assert bool(asked) is (config is None)
        assert ("provoice_overlap" in diarize.model_ids) is (config != EmbeddedConfig(detect_overlap=False))


def test_two_people_in_turn_are_told_apart(tmp_path, listen):
    one, other = clips("1688", 40), clips("2414", 40)
    parts = [
        part for n in range(4) for part in (one[n * 10 * RATE :][: 10 * RATE], other[n * 10 * RATE :][: 10 * RATE])
    ]
    heard = listen(tmp_path, np.concatenate(parts), CatalogueRow(speakers=2))
    truth = np.repeat(np.arange(8) % 2, 10 * RATE)
    said = np.full(len(truth), -1)
    for turn in heard.turns[0]:
        said[turn.region.start_sample : turn.region.end_sample] = int(turn.speaker[3:])
    told = said >= 0
    right = max(np.mean(said[told] == truth[told]), np.mean(said[told] == 1 - truth[told]))
    assert heard.voices == 2
    assert right > 0.9


def test_turns_cover_the_speech_and_do_not_overlap(tmp_path, listen):
    heard = listen(tmp_path, clips("533", 50))
    turns = [turn.region for turn in heard.turns[0]]
    assert total_samples(turns) >= total_samples(heard.speech[0])
    assert all(a.end_sample <= b.start_sample for a, b in pairwise(turns))


def test_the_same_recording_gives_the_same_answer(tmp_path, listen):
    samples = clips("1688", 20)
    assert listen(tmp_path, samples).turns == listen(tmp_path, samples).turns
    assert listen(tmp_path, samples).extra_voice_s == listen(tmp_path, samples).extra_voice_s


def test_the_models_are_named_with_their_digests():
    assert all("sha256:" in said for said in Diarize(DiarizeConfig()).model_ids.values())


def test_single_takes_one_voice_on_trust(tmp_path):
    recording = recording_of(track_of(tmp_path, np.zeros(RATE)), speech=[[Region(0, 100), Region(200, 300)]])
    (heard,) = Diarize(DiarizeConfig(backend="single"))([recording])
    assert (heard.voices, heard.extra_voice_s) == (None, None)
    assert [turn.speaker for turn in heard.turns[0]] == ["spk00", "spk00"]


def test_rttm_is_read_from_beside_the_source_in_either_spelling(tmp_path):
    (tmp_path / "tre\u0301s.rttm").write_text("SPEAKER trés 1 0.25 0.5 <NA> <NA> ana <NA> <NA>\n", encoding="utf-8")
    recording = recording_of(track_of(tmp_path, np.zeros(RATE)), speech=[[Region(0, RATE)]], path="trés.wav")
    stage = Diarize(DiarizeConfig(backend="rttm"))
    (heard,) = stage([replace(recording, local_path=tmp_path / "trés.wav")])
    assert [turn.region for turn in heard.turns[0]] == [Region(4000, 12000)]
    (missing,) = stage([replace(recording, local_path=tmp_path / "dos.wav")])
    assert isinstance(missing, Rejected)
    assert missing.reason is Reason.TURNS_MISSING


def test_a_folder_of_rttm_that_is_not_there_is_a_wrong_request():
    with pytest.raises(ConfigError, match="nowhere"):
        Diarize(DiarizeConfig(backend="rttm", rttm="nowhere")).open()


def test_rttm_round_trip():
    text = format_rttm("a", [(0, 0.5, 1.25, "spk00"), (1, 2.0, 3.0, "spk01")])
    turns = parse_rttm(text, "here")
    assert [(t.channel, t.start_s, t.end_s, t.speaker) for t in turns] == [
        (0, 0.5, 1.25, "spk00"),
        (1, 2.0, 3.0, "spk01"),
    ]


def test_windows_never_cross_a_pause_and_share_out_all_speech():
    regions = [Region(0, 5 * RATE), Region(6 * RATE, 6 * RATE + 8000), Region(8 * RATE, 8 * RATE + 100)]
    windows = windows_of(regions)
    assert (windows.end - windows.start).max() == WINDOW
    assert np.diff(windows.start[windows.region == 0]).max() <= STEP + UNHEARD
    assert [int((windows.end - windows.start)[windows.region == 1][0])] == [50]
    assert 2 not in windows.region
    assert windows.seconds.sum() == pytest.approx(5.5)


def test_clustering_finds_the_groups_whatever_their_number_of_blocks():
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((3, 64)))
    which = rng.integers(0, 3, 2000)
    vectors = unit(centres[which] + 0.05 * rng.standard_normal((2000, 64)))
    groups = cluster(vectors, 0.27)
    assert sorted(groups.weight) == sorted(np.bincount(which).astype(float))
