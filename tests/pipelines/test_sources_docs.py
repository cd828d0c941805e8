"""docs/sources.md says which extensions are sources, at which rate, and why anything is ignored."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines import listing, sources
from pipelines.estimate import BYTES_PER_S, OTHER_BYTES_PER_S, estimated_s

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")


def test_the_table_of_rates_is_the_one_that_is_used():
    told = {}
    for rate, names in re.findall(r"^\| ([\d,]+) \| ([^|]+) \|$", PAGE, re.MULTILINE):
        told |= dict.fromkeys(names.partition(",")[0].split(), int(rate.replace(",", "")))
        if "names without" in names:
            assert int(rate.replace(",", "")) == OTHER_BYTES_PER_S
    assert told == dict(BYTES_PER_S)


def test_every_cause_is_explained():
    code = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in (listing, sources))
    causes = set(re.findall(r'(?:return|ignored_as=) ?"(\w+)"', code)) | {
        "broken_link",
        "gone",
        "excluded",
        "not_included",
    }
    assert sorted(cause for cause in causes if f"`{cause}`" not in PAGE) == []


def test_an_estimate_is_bytes_over_rate():
    assert estimated_s("a/b.Flac", 48_000, BYTES_PER_S) == 2.0
    assert estimated_s("a.wav/b", 32_000, BYTES_PER_S) == 2.0
