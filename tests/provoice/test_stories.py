"""docs/consent.md tells three stories; each is typed here, and shows what the page shows."""

from __future__ import annotations

import pytest

from tests.stories import PAGE, RECORDINGS, stories, told

TEXT = PAGE.read_text(encoding="utf-8")
STORIES = {name: TEXT[begin:end] for name, begin, end in stories(TEXT)}


def test_the_page_tells_every_story():
    assert set(STORIES) == set(RECORDINGS)


@pytest.mark.parametrize("name", STORIES)
def test_the_story_shows_what_the_page_shows(name, tmp_path):
    assert told(name, STORIES[name], tmp_path) == STORIES[name], "run: python -m tests.stories"
