"""Somebody is erased and looked for beside a run that goes on: nothing of them is left, and others lose nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.erase.certificate import newest_certificate
from pipelines.erase.erase import Wanted, erase
from provoice.audit import Asked, scan_text, seal_text
from tests import erasures
from tests.canary_lake import changed, committed_between, going_on, loads, picture, plant, taken_in_again
from tests.speech import RATE_HZ, conversation

BEGINS_S, STRETCH_S = 6.5, 2.4


@pytest.mark.long
def test_nothing_of_them_is_left_and_others_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", erasures.KEY)
    monkeypatch.setenv("PROVOICE_AUDIT_KEY", erasures.KEY)
    samples, length = conversation()[round(BEGINS_S * RATE_HZ) :], round(STRETCH_S * RATE_HZ)
    said = [samples[n * length : (n + 1) * length] for n in range(9)]
    place = plant(tmp_path, {f"canary-{n:05d}": [said[n]] for n in range(6)}, ("workers=1",))
    gone, path = ["canary-00002"], tmp_path / "a.seal"
    with going_on(place, said[6:], 2):
        began = datetime.now(UTC)
        erasures.withdrawn(place.lake, *gone)
        seal_text(place.lake_uri, tuple(gone), str(path), as_json=True)
        before = picture(place.lake)
        assert erase(place.lake, Wanted(tuple(gone))).is_finished
        report = scan_text(Asked(place.lake_uri, str(path), finish=True, workers=1), as_json=True).report
    assert report.unexpected == ()
    assert report.not_opened == ()
    assert newest_certificate(place.lake, 1).certificate.status == "final"
    assert changed(before, picture(place.lake), gone) == []
    assert loads(place, before, gone) == (5, [])
    assert committed_between(place.lake, began, datetime.now(UTC)) >= 2
    assert taken_in_again(place, gone, "canary-00001") == {"suppressed": 1, "files": 1}


@pytest.mark.long
def test_what_is_wrong_is_noticed(tmp_path):
    said = conversation()[round(BEGINS_S * RATE_HZ) : round((BEGINS_S + 2 * STRETCH_S) * RATE_HZ)]
    place = plant(tmp_path, {"canary-00000": [said[: len(said) // 2]], "canary-00001": [said[len(said) // 2 :]]}, ())
    before = picture(place.lake)
    assert len(changed(before, before, ["canary-00000"])) == 5  # two rows and three members are still there
    other = {name: data + b"." for name, data in before.members.items()}
    after = type(before)(other, before.utterances, before.recordings)
    assert len(changed(before, after, [])) == len(other)
    assert loads(place, before, ["canary-00001"])[1] != []
