"""The search for many words at once, plain and keyed, against one that looks for each by itself."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.verify.encodings import ENCODINGS, forms
from pipelines.verify.needles import Kind, Needles, Term
from pipelines.verify.seal import keyed
from pipelines.verify.search import Searcher, patterns_of

KEY = b"a key of thirty-two bytes, or so"


def needles(*words: str) -> Needles:
    return Needles(tuple(Term(Kind.PATH, f"path {n}", word) for n, word in enumerate(words)))


def places(searcher: Searcher, data: bytes) -> set[tuple[int, str, str]]:
    return {(at, one.label, one.encoding) for at, one in searcher.find(data)}


def one_by_one(words: list[str], data: bytes) -> set[tuple[int, str, str]]:
    found = set()
    for n, word in enumerate(words):
        for encoding, content, _ in forms(word):
            at = data.find(content)
            while at >= 0:
                found.add((at, f"path {n}", encoding))
                at = data.find(content, at + 1)
    return found


@given(
    words=st.lists(st.text(st.characters(codec="utf-8"), min_size=8, max_size=40), min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_it_finds_what_a_search_for_each_word_finds(words, data):
    content = bytearray()
    for _ in range(data.draw(st.integers(0, 6))):
        word = data.draw(st.sampled_from(words))
        _, form, _ = data.draw(st.sampled_from(list(forms(word))))
        content += data.draw(st.binary(max_size=20)) + form
    expected = one_by_one(words, bytes(content))
    assert places(Searcher(needles(*words)), bytes(content)) == expected
    assert places(Searcher(keyed(needles(*words), KEY)), bytes(content)) == expected


@pytest.mark.parametrize("at", [0, (1 << 18) - 9, (1 << 18) - 1, 1 << 18, (1 << 19) - 20])
def test_a_word_is_found_at_every_border(at):
    data = bytearray(random.Random(at).randbytes((1 << 19) + 11))
    data[at : at + 20] = b"needle-in-a-haystack"
    found = {place for place, _, encoding in places(Searcher(needles("needle-in-a-haystack")), bytes(data))}
    assert found == {at}


def test_at_the_very_end():
    assert places(Searcher(needles("at-the-end")), b"x" * 1000 + b"at-the-end") == {(1000, "path 0", "plain")}


@pytest.mark.parametrize(
    ("data", "is_found"),
    [
        (b'{"subject_id":"anna"}', True),
        (b"anna", True),
        (b"g-anna,", True),
        (b"susanna", False),
        (b"annabel", False),
        ("anna".encode("utf-16-le"), True),
        ("susanna".encode("utf-16-le"), False),
        (b'"' + b"anna".hex().encode() + b'"', True),
    ],
)
def test_a_short_word_is_found_as_a_word(data, is_found):
    assert bool(places(Searcher(needles("anna")), b"...." + data + b"....")) is is_found
    assert bool(places(Searcher(keyed(needles("anna"), KEY)), b"...." + data + b"....")) is is_found


@pytest.mark.parametrize("data", [b'["ben"]', b"/ben/", b"a\nben\nb", b"\x03\0\0\0ben", b"g=ben/1"])
def test_a_very_short_word_is_found_between_its_borders(data):
    assert places(Searcher(needles("ben")), data)
    assert not places(Searcher(needles("ben")), b"a bench, a Ruben, Reuben's")


def test_every_encoding_has_a_form_of_its_own():
    word = 'Grüße "an" <alle>/überall & mehr'
    names = {encoding for encoding, _, _ in forms(word)} | {encoding for encoding, _, _ in forms("ab12" * 8)}
    assert names == {encoding.name for encoding in ENCODINGS}


def test_a_keyed_pattern_says_nothing_of_its_word():
    plain, secret = patterns_of(needles("p-0123456789").terms), patterns_of(needles("p-0123456789").terms, KEY)
    assert [one.length for one in plain] == [one.length for one in secret]
    assert not {one.content for one in plain} & {one.content for one in secret}
    assert not {one.tag for one in plain} & {one.tag for one in secret}
    other = patterns_of(needles("p-0123456789").terms, KEY[::-1])
    assert not {one.content for one in other} & {one.content for one in secret}
