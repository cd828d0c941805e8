"""RTTM: reading, writing, and finding what it says of a recording, however its name is spelt."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, Reason, Rejected
from schemas.sound import Region
from schemas.source import Source
from tests.shared_audio import shared_audio
from tests.transforms.builders import recording_of, track_of
from transforms.diarize import Diarize, DiarizeConfig
from transforms.diarize.rttm import RttmIndex, RttmTurn, format_rttm, parse_rttm, uri_forms

RATE = 8_000
LINE = "SPEAKER {uri} 1 {start} 1.000 <NA> <NA> {who} <NA> <NA>\n"


def line(uri: str, start: float = 0.5, who: str = "anna") -> str:
    return LINE.format(uri=uri, start=start, who=who)


def recording(folder: Path, path: str = "talks/day one/opening.wav", seconds: float = 4.0, channels: int = 1):
    made = recording_of(
        [track_of(folder, np.zeros(round(seconds * 16_000)), RATE, channel) for channel in range(channels)]
    )
    return replace(made, source=Source("root", path, "1-1", 1), local_path=folder / Path(path).name)


def told(config_place: Path | None, item) -> object:
    stage = Diarize(DiarizeConfig(backend="rttm", rttm=None if config_place is None else str(config_place)))
    stage.open()
    (answer,) = stage([item])
    return answer


names = st.text(st.characters(exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs")), min_size=1, max_size=8)
turns = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 10**7), st.integers(1, 10**6), names).map(
        lambda t: (t[0], t[1] / 1000, (t[1] + t[2]) / 1000, t[3])
    ),
    max_size=8,
)


@given(names, turns)
def test_what_is_written_reads_back(uri: str, turns: list[tuple[int, float, float, str]]) -> None:
    read = parse_rttm(format_rttm(uri, turns))
    assert {turn.uri for turn in read} <= {uri}
    key = [(t.channel, round(t.start_s * 1000), round(t.end_s * 1000), t.speaker) for t in read]
    assert sorted(key) == sorted((c, round(s * 1000), round(e * 1000), who) for c, s, e, who in turns)


def test_it_is_written_in_order_of_time_and_touching_turns_touch() -> None:
    text = format_rttm("a", [(0, 1.0006, 2.0, "b"), (0, 0.0, 1.0006, "a c")])
    assert text.splitlines() == [
        "SPEAKER a 1 0.000 1.001 <NA> <NA> a_c <NA> <NA>",
        "SPEAKER a 1 1.001 0.999 <NA> <NA> b <NA> <NA>",
    ]


def test_other_lines_comments_and_empty_turns_are_passed_over() -> None:
    text = (
        "\ufeff;; a comment\n\nSPKR-INFO a 1 <NA> <NA> <NA> unknown anna <NA> <NA>\r\n"
        "SPEAKER a 1 1.0 0.0 <NA> <NA> anna <NA> <NA>\n" + line("a")
    )
    assert parse_rttm(text) == [RttmTurn("a", 0.5, 1.5, "anna")]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("SPEAKER a 1 0.0 1.0", "at least 8 fields"),
        ("SPEAKER a 1 zero 1.0 <NA> <NA> anna <NA> <NA>", "numbers, not 1 zero 1.0"),
        ("SPEAKER a 1 -1 1.0 <NA> <NA> anna <NA> <NA>", "not negative"),
        ("SPEAKER a 1 0 nan <NA> <NA> anna <NA> <NA>", "not negative"),
        ("SPEAKER a 1 0 inf <NA> <NA> anna <NA> <NA>", "not negative"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(bad: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"notes.rttm, line 2: .*{said}"):
        parse_rttm(line("a") + bad, "notes.rttm")


def test_both_ways_of_counting_channels_begin_with_the_first() -> None:
    read = parse_rttm("".join(f"SPEAKER a {c} 0 1 <NA> <NA> x <NA> <NA>\n" for c in (0, 1, 2)))
    assert [turn.channel for turn in read] == [0, 0, 1]


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("trn00", "trñ00"),
        ("trñ00", unicodedata.normalize("NFD", "trñ00")),
        (unicodedata.normalize("NFD", "trñ00"), "trñ00"),
        ("Müller_Öl", "Müller Öl"),
        ("Muller_Ol", "Müller Öl"),
    ],
)
def test_a_name_is_found_however_it_is_spelt(uri: str, name: str) -> None:
    assert len(RttmIndex(parse_rttm(line(uri))).of([name])) == 1


def test_a_spelling_that_means_two_recordings_means_neither() -> None:
    both = RttmIndex(parse_rttm(line("pere") + line("pèré")))
    assert both.of(["pérè"]) == []
    assert [turn.uri for turn in both.of(["pere"])] == ["pere"]
    assert [turn.uri for turn in both.of([unicodedata.normalize("NFD", "pèré")])] == ["pèré"]
    assert both.of(["mere"]) == []
    assert both.only() == []


def test_the_most_faithful_form_comes_first() -> None:
    assert uri_forms(unicodedata.normalize("NFD", "é a")) == ("é a", "é_a", "e a", "e_a")


def test_the_real_meetings_are_all_found() -> None:
    folder = shared_audio("meetings")
    index = RttmIndex(turn for path in sorted(folder.glob("*.rttm")) for turn in parse_rttm(path.read_text()))
    missing = [path.stem for path in sorted(folder.glob("*.wav")) if not index.of([path.stem])]
    assert missing == ["empty"]


def test_beside_the_source(tmp_path) -> None:
    item = recording(tmp_path)
    (tmp_path / "opening.rttm").write_text(line("whatever", 0.25, "zoe") + line("whatever", 2, "anna"))
    heard = told(None, item)
    assert [(turn.region, turn.speaker) for turn in heard.turns[0]] == [
        (Region(2000, 10000), "spk00"),
        (Region(16000, 24000), "spk01"),
    ]
    assert (heard.voices, heard.extra_voice_s, dict(heard.models)) == (None, None, {})


@pytest.mark.parametrize("place", ["talks/day one/opening.rttm", "opening.rttm", "all.rttm"])
def test_in_a_folder(tmp_path, place: str) -> None:
    path = tmp_path / "rttm" / place
    path.parent.mkdir(parents=True)
    path.write_text(line("opening") + line("closing", 1.0))
    heard = told(tmp_path / "rttm", recording(tmp_path))
    assert [turn.region for turn in heard.turns[0]] == [Region(4000, 12000)]


@pytest.mark.parametrize("uri", ["opening", "opening.wav", "talks/day_one/opening"])
def test_in_one_file_for_all(tmp_path, uri: str) -> None:
    (tmp_path / "all.rttm").write_text(line("closing") + line(uri, 1.0))
    heard = told(tmp_path / "all.rttm", recording(tmp_path))
    assert [turn.region for turn in heard.turns[0]] == [Region(8000, 16000)]


def test_what_this_project_wrote_is_read_by_recording_id(tmp_path) -> None:
    item = recording(tmp_path)
    (tmp_path / "all.rttm").write_text(format_rttm(item.recording_id, [(0, 1.0, 2.0, "spk07")]))
    assert [turn.region for turn in told(tmp_path / "all.rttm", item).turns[0]] == [Region(8000, 16000)]


def test_turns_go_to_their_own_channel_and_labels_are_unique(tmp_path) -> None:
    (tmp_path / "opening.rttm").write_text(line("o") + "SPEAKER o 2 1.0 1.0 <NA> <NA> anna <NA> <NA>\n")
    heard = told(None, recording(tmp_path, channels=2))
    assert [[turn.speaker for turn in track] for track in heard.turns] == [["spk00"], ["spk01"]]


def test_one_track_takes_the_turns_of_every_channel(tmp_path) -> None:
    (tmp_path / "opening.rttm").write_text(line("o") + "SPEAKER o 2 1.0 1.0 <NA> <NA> ben <NA> <NA>\n")
    assert len(told(None, recording(tmp_path)).turns[0]) == 2


def test_turns_end_with_the_recording(tmp_path) -> None:
    (tmp_path / "opening.rttm").write_text(line("o", 3.5) + line("o", 9.0))
    heard = told(None, recording(tmp_path))
    assert [turn.region for turn in heard.turns[0]] == [Region(28000, 32000)]


@pytest.mark.parametrize(
    ("text", "detail"),
    [("", "no turn of"), (line("o", 9.0), "beyond its end"), ("SPEAKER o 1", "line 1"), ("\xff", "cannot read")],
)
def test_without_turns_the_recording_is_put_aside_and_its_neighbours_go_on(tmp_path, text: str, detail: str) -> None:
    (tmp_path / "opening.rttm").write_bytes(text.encode("latin-1"))
    (tmp_path / "closing.rttm").write_text(line("closing"))
    stage = Diarize(DiarizeConfig(backend="rttm"))
    refused, neighbour = stage([recording(tmp_path), recording(tmp_path, "talks/closing.wav")])
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.TURNS_MISSING
    assert detail in refused.detail
    assert not isinstance(neighbour, Rejected)


def test_a_file_for_all_that_cannot_be_read_is_a_wrong_request(tmp_path) -> None:
    (tmp_path / "all.rttm").write_text("SPEAKER a 1 0\n")
    with pytest.raises(ConfigError, match=r"all\.rttm, line 1"):
        Diarize(DiarizeConfig(backend="rttm", rttm=str(tmp_path / "all.rttm"))).open()


def test_where_the_rttm_lies_is_asked_of_that_backend_only() -> None:
    with pytest.raises(ValueError, match="rttm is set, but backend is `embedded`"):
        DiarizeConfig(rttm="here")
