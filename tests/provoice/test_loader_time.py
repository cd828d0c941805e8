"""While a release is read: withdrawals that arrive, grants that end, a ledger that is out of reach."""

from __future__ import annotations

import logging
import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from lake.ledger import Ledger
from lake.storage import Root
from provoice import open_release
from schemas.errors import ConsentError, LakeError
from schemas.releases import Demands
from tests.consents import ended
from tests.provoice.loader_lakes import MADE_AT, NAME, Clock, VoicesLake, voices_lake

WHO = {"owner": "o", "purpose": "p", "record": False}


def opened(made: VoicesLake, clock: Clock, **options):
    return open_release(made.uri, NAME, clock=clock, **{**WHO, **options})


def keys(samples):
    return [sample["__key__"] for sample in samples]


@pytest.fixture
def made(tmp_path):
    return voices_lake(tmp_path)


# --- withdrawals ----------------------------------------------------------------------------------------------------


def test_a_withdrawal_between_two_epochs_ends_the_second_before_it_begins(made):
    dataset = opened(made, Clock(), recheck_interval_s=1e9)
    assert len(list(dataset)) == 48
    made.lake.ledger().append([ended("p1")])
    with pytest.raises(ConsentError, match="withdrawn"):
        next(iter(dataset))


def test_a_withdrawal_between_two_epochs_is_left_out_of_the_second(made):
    dataset = opened(made, Clock(), on_denied="skip")
    list(dataset)
    made.lake.ledger().append([ended("p1")])
    assert set(keys(dataset)) == made.keys - made.keys_of["p1"]
    assert dataset.skipped == {"withdrawn": len(made.keys_of["p1"])}


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_withdrawal_during_an_epoch_is_seen_after_the_interval(made, shuffle):
    clock = Clock()
    dataset = opened(made, clock, recheck_interval_s=60, on_denied="skip", shuffle=shuffle, buffer=20)
    samples = iter(dataset)
    before = {next(samples)["__key__"] for _ in range(5)}
    made.lake.ledger().append([ended("p1")])
    clock.passes(59)
    before.add(next(samples)["__key__"])
    clock.passes(1)
    after = set(keys(samples))
    assert after == made.keys - before - made.keys_of["p1"]


def test_a_withdrawal_during_an_epoch_stops_it(made):
    clock = Clock()
    samples = iter(opened(made, clock, recheck_interval_s=60))
    next(samples)
    made.lake.ledger().append([ended("p1")])
    clock.passes(60)
    with pytest.raises(ConsentError, match="p1"):
        next(samples)


def test_a_clock_that_was_set_back_makes_the_ledger_be_asked(made):
    clock = Clock()
    samples = iter(opened(made, clock, recheck_interval_s=60))
    next(samples)
    made.lake.ledger().append([ended("p1")])
    clock.passes(-3600)
    with pytest.raises(ConsentError, match="p1"):
        next(samples)


def test_no_withdrawn_row_is_ever_yielded(tmp_path):
    """Every sample of 2,000 rows, in either order, while people withdraw one after the other."""
    made = voices_lake(tmp_path, people=40, units=10, sources=20, utterances=10, part_rows=300)
    assert len(made.keys) == 2000
    chance, gone, clock = random.Random(4), set(), Clock()
    for epoch, shuffle in enumerate([False, True, True]):
        dataset = opened(made, clock, recheck_interval_s=1e-6, on_denied="skip", shuffle=shuffle, buffer=150)
        assert set().union(*(made.keys_of[one] for one in gone)) == made.keys - set(keys(dataset))
        seen = []
        for n, sample in enumerate(dataset):
            assert not any(sample["__key__"] in made.keys_of[one] for one in gone)
            assert not gone & {link["subject_id"] for link in sample["json"]["consent"]}
            seen.append(sample["__key__"])
            clock.passes(0.001)
            if n % 300 == 50:
                one = chance.choice(sorted(set(made.keys_of) - gone))
                made.lake.ledger().append([ended(one, name=f"{epoch}-{n}")])
                gone.add(one)
        assert len(seen) == len(set(seen))
        assert set(seen) >= made.keys - set().union(*(made.keys_of[one] for one in gone))
    assert len(gone) > 10
    assert dataset.skipped == {"withdrawn": sum(len(made.keys_of[one]) for one in gone)}


# --- time -----------------------------------------------------------------------------------------------------------

END = MADE_AT + timedelta(days=2)


def test_a_grant_ends_at_its_instant_and_not_a_microsecond_later(tmp_path):
    made = voices_lake(tmp_path, ends={"p1": END})
    clock = Clock(END - timedelta(microseconds=1))
    dataset = opened(made, clock, recheck_interval_s=1e9)
    assert set(keys(dataset)) == made.keys
    clock.now = END
    with pytest.raises(ConsentError, match=r"expired \d+ of p1 \(grant g-p1\)"):
        next(iter(dataset))


def test_a_grant_that_ends_during_an_epoch_ends_it_there(tmp_path):
    made = voices_lake(tmp_path, ends={"p1": END})
    clock = Clock(END - timedelta(seconds=1))
    samples = iter(opened(made, clock, recheck_interval_s=1e9))
    next(samples)
    clock.now = END
    with pytest.raises(ConsentError, match="expired"):
        next(samples)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_grant_that_ends_during_an_epoch_is_left_out_from_then_on(tmp_path, shuffle):
    made = voices_lake(tmp_path, ends={"p1": END})
    clock = Clock(END - timedelta(seconds=1))
    dataset = opened(made, clock, recheck_interval_s=1e9, on_denied="skip", shuffle=shuffle, buffer=30)
    samples = iter(dataset)
    before = {next(samples)["__key__"] for _ in range(3)}
    clock.now = END
    assert set(keys(samples)) == made.keys - before - made.keys_of["p1"]
    assert dataset.skipped == {"expired": len(made.keys_of["p1"])}


# --- a ledger out of reach ------------------------------------------------------------------------------------------


def _removed(made, _):
    shutil.rmtree(Path(made.uri) / "consent")


def _forbidden(_, monkeypatch):
    for name in ("list", "exists", "read"):
        plain = getattr(Root, name)

        def refused(self, *args, plain=plain):
            if self.uri.endswith("/consent"):
                raise LakeError("Permission denied")
            return plain(self, *args)

        monkeypatch.setattr(Root, name, refused)


OUT_OF_REACH = pytest.mark.parametrize("put_out_of_reach", [_removed, _forbidden])


@OUT_OF_REACH
def test_a_ledger_out_of_reach_is_borne_for_as_long_as_the_release_allows(
    tmp_path, monkeypatch, caplog, put_out_of_reach
):
    made = voices_lake(tmp_path, demands=Demands(max_ledger_age_s=600))
    clock = Clock()
    dataset = opened(made, clock, recheck_interval_s=100)
    samples = iter(dataset)
    next(samples)
    put_out_of_reach(made, monkeypatch)
    with caplog.at_level(logging.WARNING, "provoice.loader"):
        clock.passes(599)
        next(samples)
    assert "as seen 599 s ago" in caplog.text
    clock.passes(1)
    with pytest.raises(ConsentError, match=r"demands a ledger seen within 600 s.* 600 s ago"):
        next(samples)
    with pytest.raises(ConsentError, match="600 s"):
        next(iter(dataset))


@OUT_OF_REACH
def test_a_ledger_that_was_never_reached_is_not_borne(made, monkeypatch, put_out_of_reach):
    put_out_of_reach(made, monkeypatch)
    with pytest.raises(ConsentError):
        opened(made, Clock())


def test_a_ledger_that_is_back_is_read_from_where_it_was_left(made, tmp_path):
    clock = Clock()
    dataset = opened(made, clock, recheck_interval_s=100, on_denied="skip")
    samples = iter(dataset)
    next(samples)
    ledger, aside = Path(made.uri) / "consent", tmp_path / "aside"
    ledger.rename(aside)
    clock.passes(100)
    next(samples)
    aside.rename(ledger)
    made.lake.ledger().append([ended("p1")])
    clock.passes(100)
    assert not set(keys(samples)) & made.keys_of["p1"]


def test_time_goes_on_while_the_ledger_is_out_of_reach(tmp_path):
    made = voices_lake(tmp_path, ends={"p1": END}, demands=Demands(max_ledger_age_s=1e6))
    clock = Clock(END - timedelta(seconds=1))
    samples = iter(opened(made, clock, recheck_interval_s=1))
    next(samples)
    shutil.rmtree(Path(made.uri) / "consent")
    clock.now = END
    with pytest.raises(ConsentError, match="expired"):
        next(samples)


def test_a_ledger_that_was_rewritten_is_not_borne(made):
    clock = Clock()
    made.lake.ledger().append([ended("stranger")])
    samples = iter(opened(made, clock, recheck_interval_s=100))
    next(samples)
    (Path(made.uri) / "consent" / "log" / "000000000001.jsonl").unlink()
    clock.passes(100)
    with pytest.raises(ConsentError, match="missing"):
        next(samples)


def test_without_news_a_look_decides_nothing(made, monkeypatch):
    """Only what an event speaks of is decided again: the evaluator is not even asked."""
    asked = []
    monkeypatch.setattr("transforms.consent_table.recheck_table", lambda *_: asked.append(_))
    made.lake.ledger().append([ended("somebody else")])
    assert len(list(opened(made, Clock()))) == 48
    assert asked == []


def test_events_are_read_from_the_release_on(made, monkeypatch):
    since = []
    events = Ledger.events

    def watched(self, position=0):
        since.append(position)
        return events(self, position)

    monkeypatch.setattr(Ledger, "events", watched)
    dataset = opened(made, Clock())
    made.lake.ledger().append([ended("somebody else")])
    list(dataset)
    list(dataset)
    assert since[0] == made.release.ledger_position
    assert since[-1] == made.release.ledger_position + 1


def test_news_that_could_not_be_decided_is_not_forgotten(made, monkeypatch):
    clock = Clock()
    dataset = opened(made, clock, recheck_interval_s=60, on_denied="skip")
    samples = iter(dataset)
    next(samples)
    made.lake.ledger().append([ended("p1")])
    with monkeypatch.context() as broken:

        def refused(*_):
            raise LakeError("no connection")

        broken.setattr(Ledger, "events_about", refused)
        clock.passes(60)
        with pytest.raises(ConsentError, match="no connection"):
            next(samples)
    assert set(keys(dataset)) == made.keys - made.keys_of["p1"]
