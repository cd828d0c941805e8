"""What the planner computes for whole columns is what its plain functions compute one by one."""

from __future__ import annotations

import bisect
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.ahead import ahead
from pipelines.estimate import BYTES_PER_S, estimated_ms, estimated_s
from pipelines.glob_columns import column_matcher, extensions, holds
from pipelines.globs import matcher
from pipelines.plan_done import Done, as_keys, find, row_marks
from pipelines.plan_ids import UnitIds, as_hex, as_texts, from_hex, recording_ids
from pipelines.plan_stage import partition_of
from schemas import ids

texts = st.text(st.characters(codec="utf-8"), max_size=12)
sizes = st.one_of(st.integers(0, 10**7), st.integers(0, 2**62), st.integers(0, 10**6).map(lambda n: 8 * n + 8))


@given(st.text("abç.", min_size=1, max_size=3), st.lists(st.tuples(texts, texts), min_size=1, max_size=9))
def test_ids_of_a_column_are_the_ids_of_its_rows(root, rows):
    paths, versions = (pa.array(column, pa.string()) for column in zip(*rows, strict=True))
    found = recording_ids(root, paths, versions)
    names = [ids.recording_id(root, path, version) for path, version in rows]
    assert as_texts(as_hex(found)).to_pylist() == names
    back, is_hex = from_hex(pa.array(names), 16)
    assert (back == found).all()
    assert is_hex.all()
    assert UnitIds(found).name(7, 1, len(rows)) == ids.unit_id(7, names[1:])


def test_what_is_no_id_is_told_apart():
    good = "0123456789abcdef" * 2
    _, is_hex = from_hex(pa.array([good, good.upper(), good[:-1], None, good[:-1] + "g", good + "0"]), 16)
    assert is_hex.tolist() == [True, False, False, False, False, False]


@given(
    st.lists(st.tuples(sizes, st.sampled_from(["wav", "mp3", "opus", "xyz", ""])), min_size=1, max_size=20),
    st.floats(1, 10**7),
)
@example([(8, "mp3"), (24, "mp3"), (32, "wav"), (96, "wav"), (1_000_008, "mp3")], 1.0)
def test_estimates_of_a_column_are_those_of_its_files(rows, rate):
    rates = {**BYTES_PER_S, "opus": rate}
    paths = [f"a/b.{extension}" for _, extension in rows]
    found = estimated_ms(*extensions(pa.array(paths)), np.array([size for size, _ in rows]), rates)
    assert found.tolist() == [round(1000 * estimated_s(p, s, rates)) for p, (s, _) in zip(paths, rows, strict=True)]


PATTERNS = [
    "*.wav",
    "*.MKV",
    "**",
    "a/**",
    "a/*.mp3",
    "**/x/*",
    "take[0-3]*",
    "É*",
    "*.{flac,ogg}",
    "[!a]*",
    "k*",
    "s?.wav",
]


@given(
    st.lists(st.sampled_from(PATTERNS), max_size=3), st.lists(st.text("aAkKſsxXéÉİ0/.wWvV\n", max_size=9), max_size=9)
)
@example(["*.MKV", "k*"], ["a.m\u212av", "\u212a", "wav", "a.wav", "x/wav"])
@example(["*.wav"], ["wav", "a.wav", ".WAV", "a/wav"])
@settings(max_examples=100)
def test_globs_over_a_column_say_what_they_say_of_each_path(patterns, paths):
    fits = matcher(patterns)
    assert column_matcher(patterns)(pa.array(paths, pa.string())).tolist() == [fits(path) for path in paths]


@given(st.lists(st.text("ab./:", max_size=5), max_size=9), st.integers(0, 4), st.sampled_from(["..", "://", "/.", "a"]))
def test_a_piece_is_found_where_a_text_holds_it_and_not_between_two(texts, begin, piece):
    column = pa.array(texts, pa.string()).slice(begin)
    assert holds(column, piece).tolist() == [piece in text for text in texts[begin:]]


@given(st.lists(texts, max_size=20))
@example([f"a.x{n}" for n in range(300)])
@example(["a.wav"] * 300 + ["b.WAV", "c", "d.wa", "e.", "wav"])
def test_extensions_stand_behind_the_last_dot(names):
    codes, found = extensions(pa.array(names, pa.string()))
    assert [found[code] for code in codes] == [name.rpartition(".")[2].lower() for name in names]


keys = st.tuples(st.integers(0, 3), st.text("ab", max_size=6))


@given(st.lists(keys, max_size=50), st.lists(keys, min_size=1, max_size=60, unique=True))
def test_a_row_goes_to_the_partition_between_whose_keys_it_stands(rows, cuts):
    cuts.sort()
    found = partition_of(
        np.array([major for major, _ in rows], np.int64),
        pa.array([path for _, path in rows], pa.string()),
        np.array([major for major, _ in cuts], np.int64),
        pa.array([path for _, path in cuts], pa.string()),
    )
    assert found.tolist() == [bisect.bisect_right(cuts, row) for row in rows]


halves = st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1) | st.integers(0, 2))


@given(st.lists(halves, max_size=30, unique=True), st.lists(halves, max_size=30))
def test_a_key_is_found_though_others_share_its_first_half(known, asked):
    known.sort(key=lambda key: key[0])
    first, second = (np.array([key[half] for key in known], np.uint64) for half in (0, 1))
    found = find(first, second, np.array(asked, np.uint64).reshape(-1, 2))
    assert found.tolist() == [known.index(key) if key in known else -1 for key in asked]
    some = np.frombuffer(bytes(range(32)), np.uint8).reshape(2, 16)
    assert as_keys(some).tolist() == [
        [int.from_bytes(row[:8].tobytes(), "big"), int.from_bytes(row[8:].tobytes(), "big")] for row in some
    ]


def test_what_is_done_stands_once():
    name = ids.recording_id("r", "a", "1")
    for rows in ([name, name], [name, ids.recording_id("r", "b", "1"), name]):
        with pytest.raises(ValueError, match=r"stand in their table once each"):
            Done(pa.table({"recording_id": rows}))
    with pytest.raises(ValueError, match=r"need a column recording_id, not \['id'\]"):
        Done(pa.table({"id": ["a"]}))
    assert len(Done(pa.table({"recording_id": [name, "no id", None]}))) == 1


def test_marks_tell_rows_apart_and_none_from_any():
    digests = ["ab" * 32, "ab" * 32, "cd" * 32, None, "odd", "other"]
    marks = row_marks(pa.array(digests)).tolist()
    assert marks[0] == marks[1]
    assert len(set(marks)) == 5
    assert marks[3] == 0


def test_what_runs_ahead_comes_in_order_and_raises_where_it_is_read():
    def three():
        yield from range(3)
        raise ValueError("the fourth")

    seen = []
    with pytest.raises(ValueError, match="the fourth"):
        seen.extend(item for item in map(seen.append, ahead(three())) if item)
    assert seen == [0, 1, 2]
    assert list(ahead([])) == []


def test_what_runs_ahead_is_so_far_ahead_and_ends_with_its_reader():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    reading = ahead(endless())
    assert [next(reading) for _ in range(5)] == list(range(5))
    time.sleep(0.05)
    assert len(made) <= 8
    reading.close()
    assert [thread for thread in threading.enumerate() if thread.name == "ahead"] == []
