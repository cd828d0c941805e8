"""What an actor commits is counted in the words of the report."""

from __future__ import annotations

import pytest

from pipelines.engines.ray_counters import Counters
from schemas.records import Counts

ray_metrics = pytest.importorskip("ray.util.metrics")


@pytest.fixture
def counted(monkeypatch):
    """Name of each counter to what it has come to, beside what Ray itself makes of it."""
    found = {}
    real = ray_metrics.Counter.inc

    def inc(self, value=1.0, tags=None):
        found[self.info["name"]] = found.get(self.info["name"], 0) + value
        real(self, value, tags)

    monkeypatch.setattr(ray_metrics.Counter, "inc", inc)
    return found


def test_the_account_of_each_unit_is_added_up(counted):
    counters = Counters()
    account = Counts(sources=3, emitted=2, rejected={"silent": 1}, utterances=5, utterance_s=2.5)
    counters.add({"counts": account.model_dump()})
    counters.add({"counts": account.model_dump()})
    assert counted == {
        "provoice_receipts": 2, "provoice_sources": 6, "provoice_emitted": 4, "provoice_rejected_silent": 2,
        "provoice_utterances": 10, "provoice_utterance_ms": 5000,
    }  # fmt: skip


def test_a_receipt_without_an_account_is_counted_as_one(counted):
    Counters().add("done")
    assert counted == {"provoice_receipts": 1}


def test_a_name_that_ray_refuses_is_said_once_and_fails_nothing(monkeypatch, caplog):
    def refuses(_name, **_):
        raise ValueError("no such name")

    monkeypatch.setattr(ray_metrics, "Counter", refuses)
    counters = Counters()
    counters.add("done")
    counters.add("done")
    assert [record.getMessage() for record in caplog.records] == ["Ray does not count receipts: no such name"]
