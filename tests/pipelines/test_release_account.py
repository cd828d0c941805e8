"""How groups fared: nobody's figures can be read off, nor worked out from what is told."""

from __future__ import annotations

import pytest

from schemas.releases import SMALLEST_GROUP
from tests.consents import ended
from tests.releases import crowd, person


def told(record, name):
    def people(share):
        return None if share is None else share.people

    return {
        "few" if one.is_suppressed else one.value: (people(one.candidates), people(one.chosen))
        for one in record.attrition[name]
    }


def test_large_groups_are_told_one_by_one(tmp_path):
    made = crowd(tmp_path, 30, sources=1, accents=["Scottish", "Irish"])
    made.record(*(ended(person(n)) for n in (0, 2, 4)))
    record = made.release()
    assert told(record, "accent") == {"Scottish": (15, 12), "Irish": (15, 15)}
    (scottish,) = (one for one in record.attrition["accent"] if one.value == "Scottish")
    assert (scottish.candidates.utterances, scottish.chosen.utterances, scottish.chosen.audio_s) == (30, 24, 24.0)
    assert told(record, "gender") == {None: (30, 27)}


def test_a_small_group_is_put_together_with_the_smallest_other(tmp_path):
    """Told alone, the others' figures would leave exactly its own."""
    accents = ["Welsh"] * 3 + ["Irish"] * 12 + ["Scottish"] * 25
    made = crowd(tmp_path, 40, sources=1, accents=accents)
    assert told(made.release(), "accent") == {"Scottish": (25, 25), "few": (15, 15)}


def test_small_groups_that_are_enough_together_stand_together(tmp_path):
    accents = ["Welsh"] * 6 + ["Irish"] * 7 + ["Scottish"] * 20
    made = crowd(tmp_path, 33, sources=1, accents=accents)
    assert told(made.release(), "accent") == {"Scottish": (20, 20), "few": (13, 13)}


def test_what_is_left_of_a_large_group_may_be_small(tmp_path):
    made = crowd(tmp_path, 36, sources=1, accents=["Irish"] * 12 + ["Scottish"] * 24)
    made.record(*(ended(person(n)) for n in range(10)))
    found = told(made.release(), "accent")
    assert found == {"few": (36, 26)}


def test_a_crowd_of_few_is_told_nothing(tmp_path):
    made = crowd(tmp_path, SMALLEST_GROUP - 1, sources=1, accents=["Irish", "Welsh"])
    record = made.release()
    assert told(record, "accent") == told(record, "subject") == {"few": (None, None)}


def test_people_are_told_by_how_much_of_theirs_is_in_it(tmp_path):
    made = crowd(tmp_path, 60, sources=4, utterances=1, pairs=[])
    sources = {n: made.keys(person(n)) for n in range(60)}
    assert all(len(keys) == 4 for keys in sources.values())
    made.record(*(ended(person(n)) for n in range(45, 60)))
    # Of people below 15 every source counts, of those below 30 two of four, of those below 45 one.
    record = made.release(
        "snr_db < 15 or snr_db >= 45 or (snr_db < 30 and lineage.source_path similar to '.*/[01].wav') "
        "or lineage.source_path like '%/0.wav'"
    )
    found = {one.value: one for one in record.attrition["subject"]}
    assert {value: (one.candidates.people, one.chosen.utterances) for value, one in found.items()} == {
        "all of theirs": (15, 60), "half or more of theirs": (15, 30), "less than half of theirs": (15, 15),
        "none of theirs": (15, 0),
    }  # fmt: skip
    assert sum(one.candidates.utterances for one in found.values()) == record.candidates.utterances


@pytest.mark.parametrize("seed", range(12))
def test_nothing_told_is_about_few(tmp_path, seed):
    """Every figure, and every difference between the whole and what is told, is of nobody or of enough people."""
    import random

    chance = random.Random(seed)
    people = chance.randrange(12, 60)
    accents = [chance.choice(["a", "b", "c", "d", None][: chance.randrange(1, 6)]) for _ in range(people)]
    made = crowd(tmp_path, people, sources=1, utterances=1, accents=accents)
    made.record(*(ended(person(n)) for n in range(people) if chance.random() < 0.4))
    record = made.release("snr_db >= 5")
    for groups in record.attrition.values():
        rest = {"candidates": record.candidates.people, "chosen": record.chosen.people}
        for one in groups:
            for name, share in (("candidates", one.candidates), ("chosen", one.chosen)):
                if share is not None:
                    assert share.people == 0 or share.people >= SMALLEST_GROUP
                    rest[name] -= share.people
        for left in rest.values():
            assert left == 0 or left >= SMALLEST_GROUP or len(groups) == 1


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_adds_up(tmp_path, seed):
    """Matching is chosen and denied; candidates are what the groups had; audio is a second per utterance."""
    import random

    chance = random.Random(seed)
    accents = [chance.choice(["a", "b", None]) for _ in range(60)]
    made = crowd(tmp_path, 60, sources=1, utterances=2, granted=50, accents=accents, pairs=[(1, 2), (3, 59)])
    made.record(*(ended(person(n)) for n in range(60) if chance.random() < 0.3))
    record = made.release("snr_db is null or snr_db >= 5")
    assert record.candidates.utterances == 124
    assert record.matching.utterances == 114
    assert set(record.denied) == {"no_grant", "withdrawn"}
    shares = (record.chosen, *record.denied.values())
    assert sum(one.utterances for one in shares) == record.matching.utterances
    assert sum(one.audio_s for one in shares) == pytest.approx(record.matching.audio_s)
    for name in ("accent", "gender"):
        for step, whole in (("candidates", record.candidates), ("chosen", record.chosen)):
            told_of = [getattr(one, step) for one in record.attrition[name]]
            assert sum(one.utterances for one in told_of) == whole.utterances
            assert sum(one.audio_s for one in told_of) == pytest.approx(whole.audio_s)
    everybody = (record.candidates, record.matching, *shares)
    assert all(one.audio_s == one.utterances for one in everybody)
    assert sum(one.candidates.people for one in record.attrition["subject"]) == record.candidates.people
