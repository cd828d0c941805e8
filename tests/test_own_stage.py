"""The example stage of docs/your-own-stage.md: it measures what is known, and every word of the page is true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from provoice.demo.speaking_rate import SpeakingRate, pauses_of, syllable_rate_hz
from schemas.sound import Region, Samples
from schemas.tables import COLUMN_TYPES, utterances_schema
from tests.shared_audio import shared_audio
from tests.transforms.utterances import utterance_of
from transforms.items import Utterance
from transforms.spectrum import band_power
from transforms.stage import Stage

_PAGE = Path(__file__).resolve().parents[1] / "docs" / "your-own-stage.md"


def _syllables(rate_hz: float, duration_s: float = 6.0) -> Samples:
    t = np.arange(round(duration_s * 16_000)) / 16_000
    loudness = np.clip(np.sin(np.pi * rate_hz * t) ** 2, 0.01, 1)
    made: Samples = (0.3 * np.sin(2 * np.pi * 500 * t) * loudness).astype(np.float32)
    return made


def _measured(utterance: Utterance) -> Utterance:
    stage = SpeakingRate()
    stage.open()
    (answer,) = stage([utterance])
    assert isinstance(answer, Utterance)
    return answer


@pytest.mark.parametrize("rate_hz", [2.0, 3.0, 4.0, 6.0])
def test_syllables_are_counted(rate_hz: float) -> None:
    assert _measured(utterance_of(_syllables(rate_hz))).columns["syllable_rate_hz"] == pytest.approx(rate_hz, abs=0.15)


def test_a_steady_tone_is_one_syllable() -> None:
    assert syllable_rate_hz(np.full(100, -20.0), np.ones(100, np.bool_)) == 0.5


def test_pauses_are_counted_and_rate_is_that_of_speech() -> None:
    made = _syllables(4.0)
    made[32_000:48_000] = 0
    columns = _measured(utterance_of(made, (Region(0, 32_000), Region(48_000, 96_000)))).columns
    assert columns["pauses"] == 1
    assert columns["pause_ratio"] == round(1 / 6, 4)
    assert columns["syllable_rate_hz"] == pytest.approx(4.0, abs=0.3)


def test_short_gaps_are_no_pauses() -> None:
    assert pauses_of((Region(0, 1000), Region(3000, 4000), Region(8000, 9000)), 16_000) == [0.25]


def test_less_than_a_second_is_not_measured() -> None:
    assert _measured(utterance_of(_syllables(4.0, 0.9))).columns["syllable_rate_hz"] is None
    assert _measured(utterance_of(np.zeros(100, np.float32))).columns["syllable_rate_hz"] is None


def test_it_is_a_stage_with_columns_that_fit_the_table() -> None:
    stage = SpeakingRate()
    assert isinstance(stage, Stage)
    assert set(stage.columns.values()) <= set(COLUMN_TYPES)
    assert set(stage.columns) <= set(utterances_schema(stage.columns).names)
    assert set(_measured(utterance_of(_syllables(4.0))).columns) == set(stage.columns)


def test_it_keeps_what_other_stages_wrote() -> None:
    before = utterance_of(_syllables(4.0), columns={"mine": 1})
    assert _measured(before).columns["mine"] == 1
    assert "syllable_rate_hz" not in before.columns


def test_real_speech_has_a_human_rate() -> None:
    import soundfile

    samples, rate = soundfile.read(
        shared_audio("speakers/librispeech_test-other/1688/1688-142285-0000.flac"), dtype="float32"
    )
    assert rate == 16_000
    level_db = 10 * np.log10(band_power(samples).sum(axis=1) + 1e-12)
    measured = syllable_rate_hz(level_db, level_db > level_db.max() - 30)
    assert measured is not None
    assert 2.5 <= measured <= 7.0


def test_the_first_stage_of_the_page_runs_as_printed() -> None:
    code = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(code, names)
    stage = names["LoudestMoment"]()  # type: ignore[operator]
    made = np.zeros(32_000, np.float32)
    made[8_000] = -0.5
    (answer,) = stage([utterance_of(made)])
    assert answer.columns == {"loudest_s": 0.5}
    assert isinstance(stage, Stage)


def test_the_page_names_every_column_type() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    assert all(f"`{kind}`" in page for kind in COLUMN_TYPES)
    assert all(
        column in Path(_PAGE.parents[1] / "provoice" / "demo" / "speaking_rate.py").read_text()
        for column in SpeakingRate.columns
    )
