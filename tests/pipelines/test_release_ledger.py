"""Of a long ledger only those are asked who are heard: it decides as the whole of it does."""

from __future__ import annotations

import pytest

from lake import ledger as ledgers
from pipelines.release import ledger as of_ledger
from pipelines.release.create import Wanted, preview
from tests.builders import small_lake
from tests.consents import ended, given, grant
from tests.releases import ANY_USE, AT


@pytest.fixture
def long(tmp_path, monkeypatch):
    """A lake whose ledger speaks of many who are not in it, and is long enough to be asked about some people only."""
    lake = small_lake(tmp_path).lake
    strangers = [given(grant(f"stranger{n}")) for n in range(50)]
    lake.ledger().append([*strangers, ended("stranger7"), ended("ben", name="ben leaves")])
    monkeypatch.setattr(ledgers, "PROJECT_BEYOND", 10)
    monkeypatch.setattr(ledgers, "_LOOK_BEYOND_BYTES", 0)
    lake.ledger().project()
    monkeypatch.setattr(of_ledger, "READ_WHOLE", 10)
    return lake


def test_the_account_is_the_same(long, monkeypatch):
    wanted = Wanted("r", ANY_USE, at=AT)
    some = preview(long, wanted)
    assert long.ledger().events_table(["ben"]).num_rows < long.ledger().head()
    monkeypatch.setattr(of_ledger, "READ_WHOLE", 10**9)
    every = preview(long, wanted)
    assert some.cells.sort_by([(name, "ascending") for name in ("people", "accent", "reason")]).equals(
        every.cells.sort_by([(name, "ascending") for name in ("people", "accent", "reason")])
    )
    assert some.denied["withdrawn"].utterances > 0


def test_only_those_who_are_heard_are_read(long, monkeypatch):
    asked = []
    whole = type(long.ledger()).events_table
    monkeypatch.setattr(
        type(long.ledger()), "events_table", lambda self, people=None: (asked.append(people), whole(self, people))[1]
    )
    preview(long, Wanted("r", ANY_USE, at=AT))
    assert asked[0] is not None
    assert not any(name.startswith("stranger") for name in asked[0])
