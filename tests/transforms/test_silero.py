"""The rewritten model says what the package's own says, in one pass over a file of any length."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from schemas.errors import ConfigError
from schemas.sound import Samples
from tests.shared_audio import shared_audio
from tests.transforms.builders import noise, tone, voice
from transforms import silero


@pytest.fixture(scope="module")
def session() -> Any:
    return silero.open_session()


@pytest.fixture(scope="module")
def package() -> Any:
    """The silero_vad package itself; importing it imports torch, whose warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("silero_vad")


def _conversation(seconds: float = 40.0) -> Samples:
    parts: list[Samples] = []
    for n in range(round(seconds / 5)):
        parts += [voice(3.1 + 0.2 * (n % 3), f0_hz=100 + 30 * (n % 4), seed=n), noise(1.7, -60, seed=n)]
    return np.concatenate(parts)


def test_probabilities_equal_the_packages(session: Any, package: Any) -> None:
    model = package.load_silero_vad(sequence=True)
    for sound in (_conversation(), noise(7.3, -20), tone(2.05), np.zeros(16_000, np.float32)):
        np.testing.assert_allclose(silero.speech_probability(sound, session), model.audio_forward(sound), atol=2e-5)


def test_timestamps_equal_the_packages_at_its_defaults(session: Any, package: Any) -> None:
    model, sound = package.load_silero_vad(sequence=True), _conversation()
    expected = package.get_speech_timestamps_sequence(sound, model)
    assert len(expected) > 5
    probability = silero.speech_probability(sound, session)
    assert package.get_speech_timestamps_from_probs(probability, audio_length_samples=len(sound)) == expected


@pytest.mark.parametrize("name", ["meetings/trn05.wav", "meetings/dev00.wav", "containers/test.wav"])
def test_timestamps_equal_the_packages_on_recordings(name: str, session: Any, package: Any) -> None:
    import soundfile

    sound, rate = soundfile.read(shared_audio(name), dtype="float32")
    assert rate == 16_000
    model = package.load_silero_vad(sequence=True)
    probability = silero.speech_probability(sound, session)
    np.testing.assert_allclose(probability, model.audio_forward(sound), atol=2e-5)
    expected = package.get_speech_timestamps_sequence(sound, model)
    assert package.get_speech_timestamps_from_probs(probability, audio_length_samples=len(sound)) == expected


def test_blocks_equal_one_pass_bit_for_bit(session: Any) -> None:
    sound = _conversation(30)[:-77]
    whole = silero.streamed_probability([sound], session)
    assert len(whole) == -(-len(sound) // silero.FRAME)
    for frames in (1, 7, 256):
        size = frames * silero.FRAME
        blocks = (sound[start : start + size] for start in range(0, len(sound), size))
        np.testing.assert_array_equal(silero.streamed_probability(blocks, session), whole)


def test_the_state_is_carried_and_the_frames_overlap(session: Any) -> None:
    sound = _conversation(20)
    half = len(sound) // 2 // silero.FRAME * silero.FRAME
    apart = np.concatenate([silero.speech_probability(part, session) for part in (sound[:half], sound[half:])])
    assert np.abs(apart - silero.speech_probability(sound, session)).max() > 1e-3


def test_gain_is_applied_before_the_model(session: Any) -> None:
    sound = _conversation(10)
    np.testing.assert_allclose(
        silero.streamed_probability([sound / 8], session, gain=8.0),
        silero.streamed_probability([sound], session),
        atol=1e-5,
    )


def test_nothing_gives_nothing(session: Any) -> None:
    assert silero.streamed_probability([], session).shape == (0,)
    assert silero.speech_probability(np.zeros(0, np.float32), session).shape == (0,)


def test_another_model_is_refused_and_says_so() -> None:
    with pytest.raises(ConfigError, match="cannot read the model of silero-vad"):
        silero.open_session(b"not a model")
    per_frame = silero.model_path().with_name("silero_vad_half.onnx")
    with pytest.raises(ConfigError, match="silero-vad"):
        silero.open_session(per_frame.read_bytes())


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    silero.model_path.cache_clear()
    try:
        with pytest.raises(ConfigError, match="pip install silero-vad"):
            silero.model_path()
    finally:
        silero.model_path.cache_clear()


_RUN_IT = """
import sys, numpy
from transforms.silero import open_session, speech_probability
speech_probability(numpy.zeros(4000, numpy.float32), open_session())
print([name for name in ("torch", "silero_vad", "onnx") if name in sys.modules])
"""


def test_neither_torch_nor_the_package_is_imported() -> None:
    said = subprocess.run([sys.executable, "-c", _RUN_IT], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
