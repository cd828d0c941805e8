"""Which paths a pattern fits."""

from __future__ import annotations

import pytest

from pipelines.globs import folder_matcher, matcher


@pytest.mark.parametrize(
    ("pattern", "fits", "not_fits"),
    [
        ("*.wav", ["a.wav", "a/b.WAV", ".wav", "a/b/c.d.wav"], ["a.wave", "a.wav/b", "awav"]),
        ("**", ["a", "a/b", "a/b/c.txt"], []),
        ("**/*.wav", ["a.wav", "a/b.wav"], ["a.mp3"]),
        ("a/*.wav", ["a/b.wav", "A/b.wav"], ["b.wav", "a/b/c.wav", "x/a/b.wav"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c", "ab/c"]),
        ("a/**/z.wav", ["a/z.wav", "a/b/c/z.wav"], ["a/bz.wav"]),
        ("take?.wav", ["take1.wav", "x/take2.wav"], ["take.wav", "take10.wav", "take/.wav"]),
        ("take[0-3].wav", ["take0.wav"], ["take4.wav"]),
        ("take[!0-3].wav", ["take4.wav"], ["take3.wav"]),
        ("*.{wav,mp3}", ["a.wav", "b/a.mp3"], ["a.ogg", "a.{wav,mp3}"]),
        ("./a/*.wav", ["a/b.wav"], ["a.wav"]),
        ("a+b(c).wav", ["a+b(c).wav"], ["aab(c).wav"]),
        ("line*.wav", ["line\nend.wav"], []),
        ("ü*.wav", ["Übung.wav"], ["ubung.wav"]),
    ],
)
def test_a_pattern_fits_what_it_says(pattern, fits, not_fits):
    is_fit = matcher([pattern])
    assert [path for path in fits if not is_fit(path)] == []
    assert [path for path in not_fits if is_fit(path)] == []


def test_any_of_several_patterns_will_do_and_none_fits_nothing():
    is_fit = matcher(["*.wav", "docs/*.md", "*.FLAC"])
    assert [is_fit(path) for path in ("a/b.wav", "docs/x.md", "x.md", "y.flac")] == [True, True, False, True]
    assert not matcher([])("a.wav")


def test_only_a_pattern_for_all_of_a_folder_covers_it():
    covers = folder_matcher(["old/**", "*.wav", "**/tmp/**", "new/*"])
    assert [covers(folder) for folder in ("old", "old/x", "x/tmp", "tmp", "new", "x/old", "older")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip
