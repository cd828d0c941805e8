"""`subject_accents`: a person's accent from all their current utterances, and of whom nothing is said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lake.lake import Lake
from provoice.sql import connect, records
from provoice.sql_accents import SUBJECT_ACCENTS
from schemas.ledger import EventType
from tests.builders import Made, write_run
from tests.consents import ended, given, grant
from transforms.items import Accent

LATE: dict[str, Any] = {"valid_until": datetime(2120, 1, 1, tzinfo=UTC)}


def told(label: str, score: float | None = None, label_set: str = "english-1") -> Accent:
    return Accent(label, label_set, "declared" if score is None else "predicted", score)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.create_or_open(str(tmp_path / "lake"))


def write(lake: Lake, folder, *made: Made, run_id: str = "one", recipe: str = "a") -> None:
    write_run(lake, folder, [made], run_id=run_id, recipe=recipe)


def accents(lake: Lake) -> dict[str, dict[str, Any]]:
    with connect(lake, "from subject_accents") as connection:
        found = records(connection, "from subject_accents")
    assert all(tuple(row) == SUBJECT_ACCENTS for row in found)
    return {f"{row['subject_id']} {row['label_set']}": row for row in found}


def test_predicted_accents_weigh_by_their_score(lake, tmp_path) -> None:
    write(
        lake, tmp_path,
        Made("a.wav", {"anna": None}, 2, accent=told("irish", 0.5)),
        Made("b.wav", {"anna": None}, 1, accent=told("welsh", 0.9)),
        Made("c.wav", {"anna": None}, 1, accent=told("indian", 0.6)),
    )  # fmt: skip
    (row,) = accents(lake).values()
    assert (row["label"], row["origin"], row["utterances"], row["audio_s"]) == ("irish", "predicted", 4, 4.0)
    assert row["share"] == 0.4, "two of 0.5, over 2.5 in all"
    assert dict(row["shares"]) == {"irish": 0.4, "welsh": 0.36, "indian": 0.24}


def test_what_is_declared_is_never_outvoted(lake, tmp_path) -> None:
    write(
        lake, tmp_path,
        Made("a.wav", {"anna": None}, 5, accent=told("welsh", 0.99)),
        Made("b.wav", {"anna": None}, 1, accent=told("irish")),
        Made("c.wav", {"ben": None}, 1, accent=told("welsh", 0.7)),
        Made("d.wav", {"ben": None}, 1, accent=told("gog", label_set="welsh-1")),
    )  # fmt: skip
    rows = accents(lake)
    anna = rows["anna english-1"]
    assert (anna["label"], anna["origin"], anna["share"], anna["utterances"]) == ("irish", "declared", 1.0, 1)
    assert rows["ben english-1"]["origin"] == "predicted", "another label set says nothing of this one"
    assert rows["ben welsh-1"]["label"] == "gog"


def test_of_several_speakers_nobody_knows_whose_it_is(lake, tmp_path) -> None:
    write(
        lake, tmp_path,
        Made("a.wav", {"anna": None, "ben": None}, 3, accent=told("welsh", 0.9)),
        Made("b.wav", {"anna": None}, 1, accent=told("irish", 0.6)),
        Made("c.wav", {"carol": None}, 1),
    )  # fmt: skip
    assert {name: row["label"] for name, row in accents(lake).items()} == {"anna english-1": "irish"}


def test_only_current_rows_count(lake, tmp_path) -> None:
    write(lake, tmp_path, Made("a.wav", {"anna": None}, 3, accent=told("welsh", 0.9)))
    write(lake, tmp_path, Made("a.wav", {"anna": None}, 1, accent=told("irish", 0.6)), run_id="two", recipe="b")
    (row,) = accents(lake).values()
    assert (row["label"], row["utterances"]) == ("irish", 1)


def test_whose_consent_has_ended_is_not_described(lake, tmp_path) -> None:
    names = ("anna", "ben", "carol", "dora", "erik")
    write(lake, tmp_path, *(Made(f"{name}.wav", {name: None}, 1, accent=told("irish")) for name in names))
    over = grant("dora", valid_until=datetime(2026, 2, 1, tzinfo=UTC))
    events = [given(grant("anna", **LATE)), given(grant("ben", **LATE)), given(over)]
    lake.ledger().append([*events, ended("ben"), ended("carol", how=EventType.REFUSED)])
    # Of erik the ledger knows nothing: a lake of a first look, which has no grants.
    assert [row["subject_id"] for row in accents(lake).values()] == ["anna", "erik"]
    lake.ledger().append([given(grant("ben", "g-ben-again", **LATE))])
    assert [row["subject_id"] for row in accents(lake).values()] == ["anna", "ben", "erik"]


def test_equal_weights_are_settled_by_name(lake, tmp_path) -> None:
    made = [Made(f"{label}.wav", {"anna": None}, 1, accent=told(label, 0.5)) for label in ("welsh", "irish")]
    write(lake, tmp_path, *made)
    (row,) = accents(lake).values()
    assert (row["label"], row["share"]) == ("irish", 0.5)


def test_an_empty_lake_describes_nobody(lake) -> None:
    assert accents(lake) == {}
