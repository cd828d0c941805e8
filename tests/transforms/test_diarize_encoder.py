"""The speaker encoder: its features, its conversion, and what it says of voices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ConfigError
from schemas.sound import Region
from tests.transforms.builders import noise, tone
from transforms.diarize import convert, encoder
from transforms.diarize.windows import windows_of
from transforms.models import onnx_session

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]


def reading(samples: np.ndarray):
    """What `Track.read_analysis` does, from an array."""
    return lambda start, end: samples[max(0, start) : min(end, len(samples))]


@pytest.fixture(scope="module")
def session():
    return encoder.open_encoder()


def spoken(seconds: float = 12.0) -> np.ndarray:
    """Something like voices: tones whose pitch and loudness wander, over noise."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 140 + 30 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(n * phase) / n for n in range(1, 20))
    return (0.05 * voice * (1 + 0.8 * np.sin(2 * np.pi * 3 * t)) + noise(seconds, -50)).astype(np.float32)


def test_mel_power_equals_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    samples = spoken(3)
    theirs = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=40).T
    ours = encoder.mel_power(np.pad(samples, 200))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=theirs.max() * 1e-6)


@pytest.mark.parametrize(("hz", "band"), [(300.0, 4), (1000.0, 14), (4000.0, 31)])
def test_a_tone_falls_into_its_mel_band(hz: float, band: int) -> None:
    # Slaney: linear to 1 kHz, so 300 Hz is mel 4.5 and 1 kHz mel 15, of 45.2 in 41 steps.
    assert abs(int(encoder.mel_power(tone(0.5, hz)).mean(0).argmax()) - band) <= 1


def test_too_few_samples_have_no_frame() -> None:
    assert encoder.mel_power(np.zeros(399, np.float32)).shape == (0, 40)


def test_the_checkpoint_makes_the_bytes_that_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path))
    path = encoder.encoder_path()
    assert path.parent == tmp_path
    made = path.stat().st_mtime_ns
    assert encoder.encoder_path() == path
    assert path.stat().st_mtime_ns == made


def test_a_worker_never_imports_torch_nor_the_package(tmp_path) -> None:
    code = (
        "import sys; from transforms.diarize import Diarize, DiarizeConfig\n"
        "stage = Diarize(DiarizeConfig()); stage.model_ids; stage.open()\n"
        "print(sorted({'torch', 'resemblyzer', 'onnx', 'librosa', 'scipy'} & set(sys.modules)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROVOICE_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_folder_where_the_user_stands_does_not_mislead_the_conversion(tmp_path, monkeypatch) -> None:
    for name in ("transforms", "schemas", "numpy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path / "cache"))
    assert encoder.encoder_path().is_file()


def test_without_the_package_one_line_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps resemblyzer==0\.1\.4") as refused:
        encoder.encoder_models()
    assert "\n" not in str(refused.value)


def test_another_checkpoint_is_refused(tmp_path) -> None:
    path = tmp_path / "pretrained.pt"
    path.write_bytes(b"somebody else's weights")
    with pytest.raises(ConfigError, match=convert.CHECKPOINT.sha256):
        convert.read_checkpoint(path)


def test_what_the_conversion_says_reaches_the_user(tmp_path, monkeypatch) -> None:
    (tmp_path / "resemblyzer").mkdir()
    (tmp_path / "resemblyzer" / "__init__.py").write_text("")
    (tmp_path / "resemblyzer" / "pretrained.pt").write_bytes(b"somebody else's weights")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "resemblyzer", raising=False)
    with pytest.raises(ConfigError, match=r"cannot convert the speaker encoder: the model .* expected"):
        encoder.encoder_path()


def test_the_model_is_the_checkpoints_network(session) -> None:
    torch = pytest.importorskip("torch")
    weights = convert.read_checkpoint(convert.checkpoint_path())
    lstm = torch.nn.LSTM(40, 256, 3)
    lstm.load_state_dict({n.removeprefix("lstm."): torch.from_numpy(w) for n, w in weights.items() if "lstm" in n})
    power = encoder.mel_power(spoken())
    frames = np.stack([power[n : n + 120] for n in range(0, 1000, 50)], 1)
    frames *= 0.01 / frames.mean((0, 2), keepdims=True)
    with torch.no_grad():
        _, (hidden, _) = lstm(torch.from_numpy(frames))
        raw = hidden[-1] @ torch.from_numpy(weights["linear.weight"]).T + torch.from_numpy(weights["linear.bias"])
        theirs = torch.nn.functional.normalize(torch.relu(raw), dim=1).numpy()
    (whole,) = onnx_session(convert.encoder_model(weights, quantised=False)).run(None, {"frames": frames})
    (quantised,) = session.run(None, {"frames": frames})
    np.testing.assert_allclose(whole, theirs, atol=1e-5)
    assert (quantised * theirs).sum(1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(quantised, axis=1), 1, atol=1e-5)


def test_the_onnx_package_finds_the_model_valid() -> None:
    onnx = pytest.importorskip("onnx")
    weights = convert.read_checkpoint(convert.checkpoint_path())
    onnx.checker.check_model(onnx.load_model_from_string(convert.encoder_model(weights)))


def test_every_window_is_embedded_in_its_place(session) -> None:
    samples = spoken(40)
    regions = [Region(0, 5 * RATE), Region(6 * RATE, 6 * RATE + 9000), Region(8 * RATE, 40 * RATE)]
    windows = windows_of(regions)
    found = encoder.embed(reading(samples), windows, session)
    assert found.shape == (len(windows), 256)
    for n in (0, 3, 5, len(windows) - 1):
        start, end = int(windows.start[n]) * 160 - 200, (int(windows.end[n]) - 1) * 160 + 200
        frames = encoder.mel_power(np.pad(samples, 400)[start + 400 : end + 400])
        frames = frames[: len(frames) if len(frames) == 120 else len(frames) - len(frames) % 10]
        (alone,) = session.run(None, {"frames": (frames * 0.01 / frames.mean())[:, None]})
        # One scale per batch in the int8 layers: alone and together differ a little.
        assert float(found[n] @ alone[0]) > 0.99


def test_the_level_of_a_recording_does_not_matter(session) -> None:
    samples, windows = spoken(), windows_of([Region(0, 12 * RATE)])
    loud, quiet = (
        encoder.embed(reading(samples * gain), windows, session) for gain in (np.float32(4), np.float32(0.01))
    )
    assert (loud * quiet).sum(1).min() > 0.999


def test_the_same_samples_have_the_same_bytes(session) -> None:
    samples, windows = spoken(90), windows_of([Region(0, 90 * RATE)])
    one, other = (encoder.embed(reading(samples), windows, session) for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_what_lies_before_and_after_the_track_is_silence(session) -> None:
    samples = spoken(1.0)
    found = encoder.embed(reading(samples), windows_of([Region(0, RATE)]), session)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found[0]) == pytest.approx(1, abs=1e-5)


def test_silence_has_no_voice_and_no_nan(session) -> None:
    found = encoder.embed(reading(np.zeros(3 * RATE, np.float32)), windows_of([Region(0, 3 * RATE)]), session)
    assert np.isfinite(found).all()


def test_no_speech_is_no_windows(session) -> None:
    assert encoder.embed(reading(np.zeros(10, np.float32)), windows_of([]), session).shape == (0, 256)
