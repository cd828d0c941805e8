"""Canaries are found wherever they are hidden, and a clean lake has no hit; without one detector, just what needs it is
missed."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lake.storage import Root
from pipelines.export.record import Form
from pipelines.snapshot import take_snapshot
from pipelines.verify.needles import NO_VOICES, Needles
from pipelines.verify.report import ScanReport
from pipelines.verify.scan import scan
from pipelines.verify.seal import keyed
from pipelines.verify.walk import DETECTORS
from provoice.release_export import export_release
from provoice.report.html import write_report
from schemas.errors import ConfigError
from tests.releases import ANY_USE, crowd
from tests.speech import write
from tests.verify.canaries import SEED, Canaries, Hidden, Site, erased_voice, other_voice
from tests.verify.hiding_sounds import hide_voice
from tests.verify.hiding_words import hide_words

ONLY_IN_BUCKETS = {"noncurrent", "upload", "soft-deleted"}
"""tests/verify/test_stores.py hides there."""
KEY = b"0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Planted:
    root: Root
    also: Root
    clean: Root
    """The same lake, without what was planted."""
    hidden: tuple[Hidden, ...]
    needles: Needles

    def scan(self, needles: Needles | None = None, without: Collection[str] = ()) -> ScanReport:
        return scan(self.root, needles or self.needles, [self.also], without=without)

    def missed(self, report: ScanReport) -> set[str]:
        """Names of the places in which not all that was hidden was found."""
        labels = {"": "voice 1", **{term.text: term.label for term in self.needles.terms}}
        found = {(hit.object, hit.label) for hit in report.unexpected}
        return {
            place.name
            for place in self.hidden
            if not {(self._uri(place, labels), label) for label in map(labels.get, place.words or ("",))} <= found
        }

    def _uri(self, place: Hidden, labels: dict[str, str]) -> str:
        path = place.path.removeprefix("@")
        for word in place.words:
            path = path.replace(word, f"‹{labels[word]}›")
        return (self.also if place.path.startswith("@") else self.root).uri_of(path)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    made = crowd(folder, 3, lasting=True)
    made.release(use=ANY_USE.model_copy(update={"until": datetime(2099, 1, 1, tzinfo=UTC)}), at=datetime.now(UTC))
    take_snapshot(made.lake)
    write_report(made.uri, None, None)
    export_release(made.uri, "gold", 1, str(folder / "also" / "gold"), Form.HUGGINGFACE, owner="test")
    site = Site(Path(made.uri), folder / "also", Canaries())
    write(site.lake / "logs" / "other.flac", other_voice())
    shutil.copytree(site.lake, folder / "clean")
    hidden = [*hide_words(site), *hide_voice(site)]
    needles = site.canaries.needles(("voice 1", erased_voice()))
    return Planted(Root(made.uri), Root(str(site.also)), Root(str(folder / "clean")), tuple(hidden), needles)


@pytest.fixture(scope="module")
def full(planted):
    return planted.scan()


def said(report: ScanReport) -> str:
    return f"CANARY_SEED={SEED}; not opened: {[one.reason for one in report.not_opened]}"


def test_every_canary_is_found(planted, full):
    assert len(planted.hidden) >= 60
    assert planted.missed(full) == set(), said(full)


def test_a_clean_lake_has_no_hit(planted):
    report = scan(planted.clean, planted.needles)
    assert report.hits == (), said(report)
    assert report.has_passed, said(report)
    assert report.sounds > 3


def test_a_keyed_scan_finds_what_a_plain_one_finds(planted):
    report = planted.scan(keyed(planted.needles, KEY))
    assert planted.missed(report) == {"Bloom filter"}, said(report)
    clean = scan(planted.clean, keyed(planted.needles, KEY))
    assert (clean.hits, clean.has_passed) == ((), False)  # later scans confirm, and do not make certificates final


@pytest.mark.long
@pytest.mark.parametrize("detector", sorted(set(DETECTORS) - ONLY_IN_BUCKETS))
def test_without_a_detector_just_what_needs_it_is_missed(planted, detector):
    needing = {place.name for place in planted.hidden if detector in place.needs}
    assert needing, f"no place needs {detector}"
    report = planted.scan(without=[detector])
    assert planted.missed(report) == needing, said(report)
    assert not report.is_complete


@pytest.mark.parametrize("detector", ["parquet_values"])
def test_without_one_of_some_detectors_just_what_needs_it_is_missed(planted, detector):
    report = planted.scan(replace(planted.needles, voices=NO_VOICES), [detector])
    needing = {place.name for place in planted.hidden if detector in place.needs or not place.words}
    assert planted.missed(report) == needing, said(report)


def test_the_report_never_says_what_was_looked_for(planted, full):
    text = full.model_dump_json()
    assert [term.label for term in planted.needles.terms if term.text in text] == [], said(full)


def test_a_detector_that_does_not_exist_is_no_scan(planted):
    with pytest.raises(ConfigError, match="there is no detector gzp"):
        planted.scan(without=["gzp"])
