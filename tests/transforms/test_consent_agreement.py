"""The vectorised evaluator, the reference and `decide` give the same answer: at random, and for all small cases."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

import transforms.consent_reference
import transforms.consent_table
from benchmarks.agreement import disagreeing
from schemas.consent import DenyReason
from tests.imports import imports_of
from tests.transforms.consent_cases import (
    disagreements,
    events_table,
    random_batch,
    records_table,
)
from tests.transforms.consent_small_worlds import small_batches, small_worlds
from transforms.consent import decide, fold
from transforms.consent_reference import decide_reference
from transforms.consent_table import decide_table, tables_of


def ours_in(*sources):
    found = {one.module for source in sources for one in imports_of(source.read_text())}
    return {name for name in found if name.split(".")[0] in {"schemas", "transforms", "tests", "lake"}}


def test_reference_and_evaluator_share_no_function():
    reference = Path(transforms.consent_reference.__file__)
    evaluator = sorted(Path(transforms.consent_table.__file__).parent.glob("*.py"))
    assert ours_in(reference) <= {"schemas.consent", "schemas.ledger", "schemas.vocabulary"}
    ours = {name for name in ours_in(*evaluator) if not name.startswith("schemas.")}
    assert {name.rsplit(".", 1)[0] for name in ours} == {"transforms.consent_table"}
    # Shapes and closed lists are shared; what the vocabulary can tell of its terms is the evaluator's alone.
    assert not [name for name in ("covering", "knows", "meets", ".facet(") if name in reference.read_text()]


def tables_for(batch):
    return tables_of(events_table(batch.events), len(batch.events))


def test_reference_and_evaluator_agree_on_random_cases():
    cases, found = disagreeing(range(100))
    assert cases == 20_000
    assert found == []


@pytest.mark.long
def test_reference_and_evaluator_agree_on_a_million_random_cases():
    cases, found = disagreeing(range(1_000, 6_000))
    assert cases == 1_000_000
    assert found == []


def test_evaluator_and_decide_agree_on_random_cases():
    def by_decide(record, use, events, at):
        decision = decide(record, use, fold(enumerate(events, 1)), at)
        if decision.is_allowed:
            return None, None, None, decision.justifications
        first = decision.denials[0]
        return first.reason, first.subject_id, first.grant_id, ()

    for seed in range(20):
        batch = random_batch(random.Random(f"decide {seed}"), worlds=10, records=10)
        assert disagreements(batch, by_decide, tables_for(batch), decide_table) == []


def test_random_cases_meet_every_reason_and_are_often_allowed():
    told = Counter()
    for seed in range(40):
        batch = random_batch(random.Random(seed))
        told.update(
            decide_table(records_table(batch.records), batch.use, tables_for(batch), batch.at)["reason"].to_pylist()
        )
    of_recordings = {DenyReason.EXTRA_VOICE, DenyReason.SUPPRESSED}
    assert set(told) == {None, *(set(DenyReason) - of_recordings)}
    assert told[None] > 400
    assert min(told.values()) >= 5


def in_all_small_worlds(take):
    worlds, asked, tables = small_worlds(take), 0, None
    for batch in small_batches(worlds):
        asked += len(batch.worlds)
        tables = tables or tables_for(batch)  # the same worlds are asked every time
        assert disagreements(batch, decide_reference, tables, decide_table) == []
    return asked


def test_reference_and_evaluator_agree_on_a_slice_of_all_small_cases():
    chance = random.Random(4)
    assert in_all_small_worlds(lambda _: chance.random() < 0.005) > 2_500


@pytest.mark.long
def test_reference_and_evaluator_agree_on_all_small_cases():
    # 157 people: without a grant, with one of 12 lists of rules, or with two; and 28 where order is left aside.
    assert in_all_small_worlds(lambda _: True) == (157 + 157**2 + 28 * 29 * 30 // 6) * 24
