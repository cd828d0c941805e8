"""The gate: of a ledger with a projection it reads what its sources need, and answers as if it had read everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from lake import ledger as ledger_module
from lake.ledger import Ledger
from lake.storage import Root
from pipelines.config import ConsentConfig
from pipelines.gate import Admission, ConsentGate, Held
from pipelines.plan import PlannedSource
from schemas.catalogue import CatalogueRow
from schemas.ledger import Event, EventType
from schemas.source import Source
from tests.consents import NOW, ended, given, grant, spoken

PEOPLE = ("anna", "ben", "cleo")


def planned(*subjects: str, path: str = "a.wav") -> PlannedSource:
    row = CatalogueRow.model_validate({"subjects": [{"subject_id": name} for name in subjects], "complete": True})
    return PlannedSource(Source("raw", path, "v1", 10), row, "row", 1.0)


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "_LOOK_BEYOND_BYTES", 0)
    monkeypatch.setattr(ledger_module, "PROJECT_BEYOND", 10**6)
    made = Ledger(Root(str(tmp_path / "ledger")))
    made.ensure()
    made.append([spoken(), *(given(grant(name)) for name in PEOPLE)])
    made.project(0)
    return made


def gate_of(ledger, *sources, require_grants=True):
    gate = ConsentGate(Ledger(ledger.root), ConsentConfig(require_grants=require_grants))
    if sources:
        gate.announce(sources)
    gate.refresh()
    return gate


def long_ago(gate):
    gate.decided_at = NOW
    return gate


def test_only_what_is_announced_is_known(ledger):
    gate = long_ago(gate_of(ledger, planned("anna")))
    assert (set(gate.state.grants), gate.state.position) == ({"g-anna"}, 4)
    assert gate.ask(planned("anna")) == Admission({"anna": "g-anna"})


def test_who_was_not_announced_is_looked_up(ledger):
    gate = long_ago(gate_of(ledger, planned("anna")))
    assert gate.ask(planned("ben")) == Admission({"ben": "g-ben"})
    ledger.append([ended("cleo")])
    assert isinstance(gate.ask(planned("cleo")), Admission), "at the position it stands at"
    assert gate.refresh()
    assert isinstance(long_ago(gate).ask(planned("cleo")), Held)


def test_what_comes_in_later_is_seen_and_counts_as_read_whomever_it_is_about(ledger):
    gate = long_ago(gate_of(ledger, planned("anna")))
    assert not gate.refresh()
    ledger.append([ended("ben")])
    assert gate.refresh()
    assert gate.state.position == 5
    ledger.append([ended("anna")])
    assert gate.refresh()
    assert isinstance(long_ago(gate).ask(planned("anna")), Held)
    gate.announce([planned("cleo")])
    gate.refresh()
    assert set(gate.state.grants) == {"g-cleo"}


def test_a_later_event_of_an_id_that_was_there_is_no_new_yes(ledger):
    """Its first holder is somebody whom the gate knows nothing about."""
    ledger.append([ended("anna")])
    gate = long_ago(gate_of(ledger, planned("anna")))
    again = given(grant("anna", "new")).model_copy(update={"event_id": "given-g-ben"})
    ledger.append([again, given(grant("anna", "g-ben")).model_copy(update={"event_id": "other"})])
    assert gate.refresh()
    assert isinstance(long_ago(gate).ask(planned("anna")), Held)


changes = st.one_of(
    st.builds(lambda who, n: given(grant(who, f"g{n}")), st.sampled_from(PEOPLE), st.integers(0, 3)),
    st.builds(lambda who, n: ended(who, n, name=f"{who}{n}"), st.sampled_from(PEOPLE), st.none() | st.just("g1")),
    st.builds(
        lambda digest: Event(event_id=f"c{digest}", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW,
                             source_root="raw", source_path="a.wav", catalogue_row_sha256=digest),
        st.sampled_from(["row", "new"]),
    ),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@law(
    st.lists(changes, max_size=8), st.integers(0, 8), st.integers(0, 8), st.booleans(),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2, unique=True),
)  # fmt: skip
def test_it_answers_as_if_it_had_read_everything(tmp_path_factory, events, built_at, read_at, require_grants, who):
    root = Root(str(tmp_path_factory.mktemp("gate")))
    source = planned(*who)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "_LOOK_BEYOND_BYTES", 0)
        ledger = Ledger(root)
        ledger.ensure()
        ledger.append([spoken(), *events[:built_at]])
        ledger.project(0)
        ledger.append(events[built_at:read_at])
        narrow = gate_of(ledger, source, require_grants=require_grants)
        whole = ConsentGate(Ledger(root), ConsentConfig(require_grants=require_grants))
        whole._ledger = _Whole(root)
        whole.refresh()
        assert long_ago(narrow).ask(source) == long_ago(whole).ask(source)
        ledger.append(events[max(built_at, read_at) :])
        narrow.refresh(), whole.refresh()
        assert long_ago(narrow).ask(source) == long_ago(whole).ask(source)
        other = replace(source, source=replace(source.source, path="b.wav"))
        assert long_ago(narrow).ask(other) == long_ago(whole).ask(other)
        assert narrow.state.position == whole.state.position


class _Whole(Ledger):
    """Read without its projection."""

    is_projected = False
