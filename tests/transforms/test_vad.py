"""Regions of speech: from probabilities with known answers, from made voices, and from recordings with references."""

from __future__ import annotations

import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.errors import ConfigError, Reason, Rejected
from schemas.model import parse
from schemas.sound import Region, Samples, merged, overlap_samples, total_samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import level_db_of, noise, recording_of, tone, track_of, voice
from transforms.items import Recording
from transforms.silero import open_session, speech_probability
from transforms.vad import EDGE_S, DetectSpeech, VadConfig, gain_db, regions_from_probability, voiced_parts

FRAME = 512
BARE = VadConfig(on=0.5, off=0.3, fill_gap_s=0, min_speech_s=0, pad_s=0)


@pytest.fixture(scope="module")
def stage() -> DetectSpeech:
    made = DetectSpeech(VadConfig())
    made.open()
    return made


def _prob(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _frames(regions: list[Region]) -> list[tuple[float, float]]:
    return [(region.start_sample / FRAME, region.end_sample / FRAME) for region in regions]


def test_speech_begins_at_on_and_lasts_until_under_off() -> None:
    found = regions_from_probability(_prob(0.4, 0.6, 0.4, 0.3, 0.29, 0.4, 0.5, 0.1), BARE)
    assert _frames(found) == [(1, 4), (6, 7)]


def test_the_last_region_ends_with_the_sound() -> None:
    assert regions_from_probability(_prob(0, 0.9, 0.9), BARE, n_samples=2 * FRAME + 7) == [Region(FRAME, 2 * FRAME + 7)]


@pytest.mark.parametrize(("gap", "pieces"), [(4, 1), (5, 2)])
def test_gaps_up_to_fill_gap_are_filled(gap: int, pieces: int) -> None:
    # 0.15 s are 4.7 frames.
    probability = _prob(*[0.9] * 5, *[0.0] * gap, *[0.9] * 5)
    config = BARE.model_copy(update={"fill_gap_s": 0.15})
    assert len(regions_from_probability(probability, config)) == pieces


@pytest.mark.parametrize(("frames", "pieces"), [(4, 0), (5, 1)])
def test_regions_under_min_speech_are_dropped(frames: int, pieces: int) -> None:
    probability = _prob(0, 0, *[0.9] * frames, 0, 0)
    assert len(regions_from_probability(probability, BARE.model_copy(update={"min_speech_s": 0.15}))) == pieces


def test_regions_are_padded_within_the_sound_and_never_overlap() -> None:
    config = BARE.model_copy(update={"pad_s": 0.07})
    assert regions_from_probability(_prob(0.9, 0, 0, 0, 0, 0, 0, 0, 0.9), config) == [
        Region(0, FRAME + 1120),
        Region(8 * FRAME - 1120, 9 * FRAME),
    ]
    assert regions_from_probability(_prob(0.9, 0, 0.9), config) == [Region(0, 3 * FRAME)]


@settings(max_examples=200)
@given(
    arrays(np.float32, st.integers(0, 200), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 0.95),
    st.floats(0.05, 0.95),
    st.sampled_from([0, 0.05, 0.15]),
)
def test_regions_are_apart_inside_and_hold_every_sure_frame(
    probability: np.ndarray, a: float, b: float, pad: float
) -> None:
    config = VadConfig(on=max(a, b), off=min(a, b), min_speech_s=0, pad_s=pad)
    n_samples = max(0, len(probability) * FRAME - 100)
    found = regions_from_probability(probability, config, n_samples)
    assert found == merged(found)
    assert all(region.end_sample <= n_samples for region in found)
    for frame in np.flatnonzero(probability >= config.on).tolist():
        sure = Region(frame * FRAME, min((frame + 1) * FRAME, n_samples))
        assert any(sure in region for region in found)
    for before, after in pairwise(found):
        assert after.start_sample - before.end_sample > (config.fill_gap_s - 2 * pad) * 16_000


@settings(max_examples=100)
@given(arrays(np.float32, st.integers(1, 200), elements=st.floats(0, 1, width=32)))
def test_hysteresis_equals_a_loop(probability: np.ndarray) -> None:
    expected, is_speech = [], False
    for value in probability:
        is_speech = bool(value >= BARE.on or (is_speech and value >= BARE.off))
        expected.append(is_speech)
    heard = np.zeros(len(probability), bool)
    for region in regions_from_probability(probability, BARE):
        heard[region.start_sample // FRAME : region.end_sample // FRAME] = True
    assert heard.tolist() == expected


def _level(*values_db: float) -> np.ndarray:
    """Levels of 50 ms, each standing for 100 ms."""
    return np.repeat(np.array(values_db, np.float32), 2)


def test_quiet_ends_are_drawn_in_to_where_there_is_sound() -> None:
    config = BARE.model_copy(update={"pad_s": 0.2, "quiet_below_top_db": 35.0})
    probability = _prob(*[0.0] * 10, *[0.9] * 20, *[0.0] * 20)
    level_db = _level(-70, -70, -70, *[-20] * 8, *[-70] * 5)
    (wide,) = regions_from_probability(probability, config)
    (drawn,) = regions_from_probability(probability, config, level_db=level_db)
    assert wide == Region(10 * FRAME - 3200, 30 * FRAME + 3200)
    assert drawn == Region(round(0.3 * 16_000), round(1.1 * 16_000))
    (far,) = regions_from_probability(probability, config, level_db=level_db * np.float32(0.4))
    assert far == wide


def test_never_more_is_drawn_in_than_padding_and_lateness_account_for() -> None:
    config = BARE.model_copy(update={"pad_s": 0.2, "quiet_below_top_db": 35.0})
    probability = _prob(*[0.0] * 20, *[0.9] * 40, *[0.0] * 20)
    level_db = np.full(52, -70, np.float32)
    level_db[24:28] = -20
    (drawn,) = regions_from_probability(probability, config, level_db=level_db)
    assert drawn == Region(20 * FRAME + 1600, 60 * FRAME - 1600)


def test_a_quiet_voice_beside_a_loud_one_keeps_its_region() -> None:
    config = BARE.model_copy(update={"pad_s": 0.2, "quiet_below_top_db": 35.0})
    probability = _prob(*[0.9] * 20, *[0.0] * 40, *[0.9] * 20)
    level_db = np.full(52, -20, np.float32)
    level_db[26:] = -70
    assert len(regions_from_probability(probability, config, level_db=level_db)) == 2
    assert (
        regions_from_probability(probability, config, level_db=level_db)[1]
        == regions_from_probability(probability, config)[1]
    )


@pytest.mark.parametrize(
    ("in_pause", "level_db", "quiet_s", "parts"),
    [(0.0, -70, 0.4, 2), (0.1, -70, 0.4, 1), (0.0, -58, 0.4, 1), (0.0, -70, 0.3, 1)],
)
def test_a_filled_pause_is_speech_unless_it_is_quiet_for_long_and_surely_nobodys(
    in_pause: float, level_db: float, quiet_s: float, parts: int
) -> None:
    config = BARE.model_copy(update={"fill_gap_s": 0.6, "pad_s": 0.2, "quiet_below_top_db": 35.0, "quiet_gap_s": 0.35})
    probability = _prob(*[0.9] * 25, *[in_pause] * 12, *[0.9] * 25)
    levels = np.full(40, -20, np.float32)
    levels[17 : 17 + round(quiet_s * 20)] = level_db
    found = regions_from_probability(probability, config, level_db=levels)
    assert len(found) == parts
    if parts == 2:
        assert (found[0].end_sample, found[1].start_sample) == (17 * 800, 25 * 800)


def test_voiced_parts_are_what_is_said_without_a_pause() -> None:
    probability = _prob(*[0.0] * 10, *[0.9] * 20, *[0.0] * 10, *[0.9] * 20, *[0.0] * 10)
    (region,) = regions_from_probability(probability, VadConfig())
    parts = voiced_parts([region.rescaled(16_000, 48_000)], probability, 48_000)
    assert [(part.start_sample, part.end_sample) for part in parts] == [
        (3 * (10 * FRAME - 1120), 3 * (30 * FRAME + 1120)),
        (3 * (40 * FRAME - 1120), 3 * (60 * FRAME + 1120)),
    ]
    # What nothing sure lies in is still somebody's.
    assert voiced_parts([Region(0, 9_000)], _prob(*[0.26] * 20), 16_000) == [Region(0, 9_000)]


def test_at_sileros_thresholds_the_regions_are_sileros() -> None:
    """Not sample for sample: silero looks whether a pause is long enough only in frames under its lower threshold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("silero_vad")
    sound = np.concatenate([_spoken(), _spoken(), _spoken()])
    probability = speech_probability(sound, open_session())
    config = VadConfig(on=0.5, off=0.35, fill_gap_s=0.1, min_speech_s=0.25, pad_s=0.03)
    ours = regions_from_probability(probability, config, len(sound))
    theirs = [
        Region(span["start"], span["end"])
        for span in package.get_speech_timestamps_from_probs(probability, audio_length_samples=len(sound))
    ]
    hit = sum(overlap_samples(region, theirs) for region in ours)
    assert len(theirs) >= 3
    assert total_samples(ours) + total_samples(theirs) - 2 * hit <= 0.02 * total_samples(theirs)


@pytest.mark.parametrize(
    "name",
    ["speakers/librispeech_test-other/367/367-130732-0000.flac", "meetings/trn09.wav", "containers/aepyx_8k.wav"],
)
def test_real_speech_at_sileros_defaults_is_heard_as_silero_hears_it(name: str) -> None:
    """Against the package's own function and its own model, end to end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package, torch = pytest.importorskip("silero_vad"), pytest.importorskip("torch")
        sound = _read(name)
        spans = package.get_speech_timestamps(torch.from_numpy(sound), package.load_silero_vad())
    theirs = [Region(span["start"], span["end"]) for span in spans]
    config = VadConfig(on=0.5, off=0.35, fill_gap_s=0.1, min_speech_s=0.25, pad_s=0.03)
    ours = regions_from_probability(speech_probability(sound, open_session()), config, len(sound))
    hit = sum(overlap_samples(region, theirs) for region in ours)
    assert total_samples(ours) + total_samples(theirs) - 2 * hit <= 0.02 * total_samples(theirs)


def test_gain_brings_the_level_to_the_target_and_leaves_digital_silence_out() -> None:
    half_silent = np.concatenate([np.zeros(16_000, np.float32), tone(1.0, level_dbfs=-46)])
    assert gain_db(level_db_of(half_silent), VadConfig()) == pytest.approx(20, abs=0.1)
    mostly_quiet = np.concatenate([tone(8.0, level_dbfs=-60), tone(2.0, level_dbfs=-30)])
    assert gain_db(level_db_of(mostly_quiet), VadConfig()) == pytest.approx(4, abs=0.1)
    assert gain_db(level_db_of(tone(1.0, level_dbfs=-6)), VadConfig()) == pytest.approx(-20, abs=0.1)
    assert gain_db(level_db_of(tone(1.0, level_dbfs=-80)), VadConfig()) == 40
    assert gain_db(level_db_of(np.zeros(16_000, np.float32)), VadConfig()) is None


def _spoken(level_dbfs: float = -26) -> Samples:
    return np.concatenate([noise(2, -70), voice(3, level_dbfs=level_dbfs), noise(2, -70, seed=1)])


def test_a_voice_is_found_where_it_is(stage: DetectSpeech, tmp_path: Path) -> None:
    (heard,) = stage([recording_of(track_of(tmp_path, _spoken()))])
    assert isinstance(heard, Recording)
    assert total_samples(heard.speech[0]) == pytest.approx(3 * 16_000, rel=0.1)
    around = Region(round((2 - EDGE_S) * 16_000), round((5 + EDGE_S) * 16_000))
    assert all(region in around for region in heard.speech[0])
    assert heard.speech_probability[0].shape == (-(-7 * 16_000 // FRAME),)
    assert heard.speech_probability[0].dtype == np.float32


def test_the_models_name_version_and_digest_stand_in_the_recording(stage: DetectSpeech, tmp_path: Path) -> None:
    (heard,) = stage([recording_of(track_of(tmp_path, _spoken()))])
    assert isinstance(heard, Recording)
    assert heard.models == stage.model_ids
    version, digest = stage.model_ids["silero_vad"].split(" sha256:")
    assert version[0].isdigit()
    assert len(digest) == 64


@pytest.mark.parametrize("level_dbfs", [-60, -45, -6])
def test_level_does_not_decide(level_dbfs: float, stage: DetectSpeech, tmp_path: Path) -> None:
    usual, other = stage(
        [recording_of(track_of(tmp_path, _spoken() * np.float32(10 ** (gain / 20)))) for gain in (0, level_dbfs + 26)]
    )
    assert isinstance(usual, Recording)
    assert isinstance(other, Recording)
    apart = total_samples(usual.speech[0]) + total_samples(other.speech[0])
    apart -= 2 * sum(overlap_samples(region, other.speech[0]) for region in usual.speech[0])
    assert apart <= 0.02 * total_samples(usual.speech[0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_regions_are_in_samples_of_the_recordings_own_rate(rate: int, stage: DetectSpeech, tmp_path: Path) -> None:
    # Speech until the last sample: rounding must not pass the end.
    sound = np.concatenate([noise(1, -70), voice(2.0301)])
    native_sound = np.zeros(round(len(sound) * rate / 16_000) - 1, np.float32)
    tracks = [track_of(tmp_path, sound), track_of(tmp_path, sound, rate, native=native_sound)]
    at_16k, native = stage([recording_of(track) for track in tracks])
    assert isinstance(at_16k, Recording)
    assert isinstance(native, Recording)
    assert native.decoded is not None
    n_samples = native.decoded.tracks[0].n_samples
    assert native.speech[0][-1].end_sample == n_samples
    for there, here in zip(native.speech[0], at_16k.speech[0], strict=True):
        assert there.start_sample == pytest.approx(here.start_sample * rate / 16_000, abs=1)
        assert there.end_sample == pytest.approx(here.end_sample * rate / 16_000, abs=2)


def test_each_track_is_heard_by_itself(stage: DetectSpeech, tmp_path: Path) -> None:
    spoken = _spoken()
    tracks = [
        track_of(tmp_path, spoken, channel=0),
        track_of(tmp_path, np.zeros(len(spoken), np.float32), channel=1),
        track_of(tmp_path, spoken[::-1].copy() * np.float32(0.01), channel=2),
    ]
    together, alone = stage([recording_of(tracks), recording_of(tracks[0])])
    assert isinstance(together, Recording)
    assert isinstance(alone, Recording)
    assert together.speech[0] == alone.speech[0]
    assert together.speech[1] == ()
    assert not together.speech_probability[1].any()
    assert len({len(p) for p in together.speech_probability}) == 1


def test_silence_and_noise_are_told_apart(stage: DetectSpeech, tmp_path: Path) -> None:
    dithered = np.random.default_rng(0).integers(-1, 2, 32_000).astype(np.float32) / 32_768 * 0.5
    answers = stage(
        [
            recording_of(track_of(tmp_path, np.zeros(32_000, np.float32))),
            recording_of(track_of(tmp_path, dithered)),
            recording_of(track_of(tmp_path, noise(3, -30))),
            recording_of(track_of(tmp_path, np.zeros(0, np.float32))),
            recording_of(track_of(tmp_path, _spoken())),
        ]
    )
    reasons = [answer.reason if isinstance(answer, Rejected) else None for answer in answers]
    assert reasons == [Reason.SILENT, Reason.SILENT, Reason.NO_SPEECH, Reason.SILENT, None]


def test_a_pinned_model_must_be_the_installed_one() -> None:
    pinned = DetectSpeech(VadConfig(model_sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"vad\.model_sha256"):
        pinned.open()
    with pytest.raises(ConfigError, match=r"vad\.model_sha256"):
        _ = pinned.model_ids
    found = DetectSpeech(VadConfig()).model_ids["silero_vad"].split("sha256:")[1]
    DetectSpeech(VadConfig(model_sha256=found)).open()


def test_nonsense_is_refused() -> None:
    for wrong in ({"on": 0.2, "off": 0.3}, {"on": 1.5}, {"pad_s": -1}, {"model_sha256": "abc"}, {"onn": 0.3}):
        with pytest.raises(ConfigError):
            parse(VadConfig, wrong, "vad")


_HEAR_TEN_HOURS = """
import os, re, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from tests.transforms.builders import bare_track, recording_of
from transforms.vad import DetectSpeech, VadConfig

n, spool = 10 * 3600 * 16_000, Path(sys.argv[1])
spool.touch()
os.truncate(spool, 4 * n)
track = replace(bare_track(n), analysis_path=spool, level_db=np.full(n // 800, -30, np.float32))
stage = DetectSpeech(VadConfig())
stage.open()
stage([recording_of(track)])
# Not ru_maxrss, which a child inherits from the test run.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.long
def test_ten_hours_are_heard_in_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HEAR_TEN_HOURS, str(tmp_path / "ten-hours.f32")]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(said.stdout) < 200 * 1024


def _read(name: str) -> Samples:
    import soundfile
    import soxr

    sound, rate = soundfile.read(shared_audio(name), dtype="float32", always_2d=True)
    mono = sound.mean(1)
    return np.asarray(mono if rate == 16_000 else soxr.resample(mono, rate, 16_000), np.float32)


@pytest.mark.parametrize(
    ("name", "max_s"),
    [
        ("silence/almost_silent.wav", 0.0),
        ("silence/digital_silence.wav", 0.0),
        ("silence/silence.wav", 0.0),
        ("noise/city.mp3", 0.0),
        ("noise/fireplace.mp3", 0.0),
        ("noise/rain.mp3", 0.0),
        ("noise/sheep.ogg", 0.0),
        ("noise/waves.mp3", 0.0),
        ("noise/hens.ogg", 0.5),
        ("noise/sb_noise1.wav", 1.5),
        ("meetings/empty.wav", 0.0),
    ],
)
def test_what_is_no_speech_does_not_become_speech(name: str, max_s: float, stage: DetectSpeech, tmp_path: Path) -> None:
    (answer,) = stage([recording_of(track_of(tmp_path, _read(name)))])
    heard_s = 0.0 if isinstance(answer, Rejected) else total_samples(answer.speech[0]) / 16_000
    assert heard_s <= max_s


def test_of_music_noise_and_speech_only_speech_is_found(stage: DetectSpeech, tmp_path: Path) -> None:
    (heard,) = stage([recording_of(track_of(tmp_path, _read("music/musanmix.wav")))])
    assert isinstance(heard, Recording)
    spoken = [Region(round(a * 16_000), round(b * 16_000)) for a, b in ((63.34, 68.26), (68.66, 71.6), (72.0, 73.82))]
    found = sum(overlap_samples(region, heard.speech[0]) for region in spoken)
    assert found >= 0.9 * total_samples(spoken)
    assert total_samples(heard.speech[0]) - found <= 1.0 * 16_000


def test_meetings_missed_and_false_alarm_rates(stage: DetectSpeech, tmp_path: Path) -> None:
    """Against AMI's references, which count pauses within a segment and laughter as speech."""
    spans: dict[str, list[Region]] = {}
    for line in shared_audio("meetings/train.rttm").read_text().splitlines():
        _, name, _, start_s, length_s, *_ = line.split()
        start = round(float(start_s) * 16_000)
        spans.setdefault(name, []).append(Region(start, start + round(float(length_s) * 16_000)))
    missed = false = speech = other = 0
    for name, reference in sorted(spans.items()):
        path = "meetings/trñ00.wav" if name == "trn00" else f"meetings/{name}.wav"
        sound = _read(path)
        (answer,) = stage([recording_of(track_of(tmp_path, sound))])
        heard = () if isinstance(answer, Rejected) else answer.speech[0]
        hit = sum(overlap_samples(region, merged(reference)) for region in heard)
        speech += total_samples(reference)
        other += len(sound) - total_samples(reference)
        missed += total_samples(reference) - hit
        false += total_samples(heard) - hit
    assert missed / speech < 0.12
    assert false / other < 0.03
