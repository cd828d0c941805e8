"""When an erasure says that it began, that all was purged, and when it looks again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.erase.clock import Clock

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)


def passing(monkeypatch, seconds):
    """A clock that goes on by so much whenever it is asked."""
    readings = iter(range(0, 10**9, seconds))
    monkeypatch.setattr("pipelines.erase.clock.time.monotonic", lambda: float(next(readings)))


def test_a_clock_that_is_given_stands_still(monkeypatch):
    passing(monkeypatch, 10)
    clock = Clock(BEGAN)
    assert (clock.now(), clock.now(), clock.elapsed_s) == (BEGAN, BEGAN, 10.0)


def test_it_goes_on_from_when_it_was_asked_first(monkeypatch):
    passing(monkeypatch, 10)
    clock = Clock()
    assert [clock.now() - clock.began for _ in range(3)] == [timedelta(seconds=n) for n in (10, 20, 30)]
