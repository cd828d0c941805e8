"""Would the agreement of reference and evaluator notice a mistake? Each fault is sown into the source of one of them,
and must show within a few thousand of the random cases on which they otherwise agree."""

from __future__ import annotations

import importlib
import random
import types
from functools import cache
from pathlib import Path

import pytest

import transforms.consent_reference
import transforms.consent_table
from tests.transforms.consent_cases import answers_in, events_table, random_batch, records_table

REFERENCE = Path(transforms.consent_reference.__file__)
EVALUATOR = Path(transforms.consent_table.__file__).parent
SEEDS = range(300)

IN_REFERENCE = {
    "a grant begins a microsecond late": ("at < grant.valid_from", "at <= grant.valid_from"),
    "a grant lasts through its end": ("at >= grant.valid_until", "at > grant.valid_until"),
    "the limit of a rule is left out": ("use.until > until", "use.until >= until"),
    "a use is over at its end": ("use.until < at", "use.until <= at"),
    "a period has its end in it": ("begin <= when < end", "begin <= when <= end"),
    "a period lacks its beginning": ("begin <= when < end", "begin < when < end"),
    "grant_ids are ignored": ("record.grant_ids and i not in record.grant_ids", "False"),
    "an incomplete list will do": ("not record.complete", "False"),
    "prohibitions end with their grant": (
        'if rule.effect == "prohibit" and',
        'if rule.effect == "prohibit" and i not in [e.grant_id for e in events if e.type.value in _ENDINGS] and',
    ),
    "what is narrower permits, and not what is broader": (
        "named in _above(facet, asked))",
        "asked in _above(facet, named))",
    ),
    "who withdrew has withdrawn what is given later": ("e.grant_id is None and m > n", "e.grant_id is None"),
    "repeated events count again": ("for before in events[:n]", "for before in events[:0]"),
    "the first change of a catalogue row stays": ("changed[-1]", "changed[0]"),
    "the first vocabulary stays": ("in reversed(once) if event.vocabulary", "in once if event.vocabulary"),
    "a grant given twice is the second": ("in reversed(list(enumerate(events)))", "in enumerate(events)"),
    "unknown words prohibit nothing": ("facet is None or not _is_known(facet, named)", "facet is None"),
    "the grant that ends first is told": ("max(found, key", "min(found, key"),
    "one subject's yes will do": ("if denials else", "if len(denials) == len(answers) else"),
    "the last ending is told": ("ends[:1]", "ends[-1:]"),
    "what shares a narrower term is not met": ("{named, asked, *facet.terms}", "{named, asked}"),
}
"""What is wrong: (text of consent_reference.py, what stands there instead)."""

IN_EVALUATOR = {
    "a grant begins a microsecond late": ("asked", "(at < grants.begins)", "(at <= grants.begins)"),
    "a grant lasts through its end": ("asked", "(at >= grants.ends)", "(at > grants.ends)"),
    "the limit of a rule is left out": ("asked", "until > reach", "until >= reach"),
    "a use is over at its end": ("decided", "if at > use.until", "if at >= use.until"),
    "a period has its end in it": ("subjects", "(when < grants", "(when <= grants"),
    "a period lacks its beginning": ("subjects", "collected_from[of] <= when", "collected_from[of] < when"),
    "grant_ids are ignored": (
        "subjects",
        "counts = ~records.is_narrowed[record]",
        "counts = np.ones(len(record), bool)",
    ),
    "an incomplete list will do": ("decided", '| ~flags(columns["complete"])', ""),
    "prohibitions end with their grant": (
        "asked",
        "prohibitions(grants, use, vocabulary))",
        "prohibitions(grants, use, vocabulary) & (before == PERMITTED))",
    ),
    "what is broader permits nothing": ("words", "speaking |= vocabulary.facet(name).covering(asked)", "pass"),
    "who withdrew has withdrawn what is given later": ("folded", "np.minimum(given_at, span - 1)", "0 * given_at"),
    "repeated events count again": (
        "folded",
        'rows[firsts(columns["event_id"]',
        'rows[rows >= 0 * firsts(columns["event_id"]',
    ),
    "the first change of a catalogue row stays": (
        "folded",
        "firsts(pa.array(source[::-1]))[::-1]",
        "firsts(pa.array(source))",
    ),
    "the first vocabulary stays": ("folded", "[0 if keeps_all else -1 :]", "[:1]"),
    "unknown words prohibit nothing": ("words", "word == ANY or not facet.knows(word)", "word == ANY"),
    "the grant that ends first is told": ("subjects", "grants.ends[grant], EARLIEST", "-grants.ends[grant], EARLIEST"),
    "only prohibitions deny": ("decided", "(told != PERMITTED).astype", "(told > PERMITTED).astype"),
    "of equals the last is told": ("columns", "[winners][::-1]] = winners[::-1]", "[winners]] = winners"),
    "what shares a narrower term is not met": ("words", "met |= above", "met.add(narrow)"),
    "a scope covers whatever the ledger speaks of": (
        "subjects",
        "(source >= 0) & is_among(keys, grants.listed)",
        "source >= 0",
    ),
    "subjects are asked from the last": ("subjects", "np.lexsort((ranks, record))", "np.lexsort((-ranks, record))"),
    "what ends one grant ends none": ("folded", "np.minimum.at(first", "np.maximum.at(first"),
}
"""What is wrong: (module of consent_table, its text, what stands there instead)."""


def mutated(text, before, after):
    assert text.count(before) == 1, f"`{before}` stands {text.count(before)} times in the source"
    return text.replace(before, after)


@cache
def batch_of(seed):
    """A batch and what the unchanged evaluator answers: the same as the reference, by test_consent_agreement."""
    batch = random_batch(random.Random(seed), worlds=15, records=6)
    tables = transforms.consent_table.tables_of(events_table(batch.events), len(batch.events))
    decided = transforms.consent_table.decide_table(records_table(batch.records), batch.use, tables, batch.at)
    return batch, list(answers_in(decided))


def reference_with(before, after):
    module = types.ModuleType("mutated_reference")
    exec(compile(mutated(REFERENCE.read_text(), before, after), "mutated", "exec"), module.__dict__)
    return module.decide_reference


def is_caught_in_reference(decide_reference, seeds=SEEDS):
    for seed in seeds:
        batch, answers = batch_of(seed)
        expected = iter(answers)
        for world in batch.worlds:
            events = [*batch.spoken, *world.events]
            for record in world.records:
                if decide_reference(record, batch.use, events, batch.at) != next(expected):
                    return True
    return False


def is_caught_in_evaluator(package, seeds=SEEDS):
    for seed in seeds:
        batch, answers = batch_of(seed)
        tables = package.tables_of(events_table(batch.events), len(batch.events))
        decided = package.decide_table(records_table(batch.records), batch.use, tables, batch.at)
        if list(answers_in(decided)) != answers:
            return True
    return False


@pytest.mark.parametrize("fault", IN_REFERENCE)
def test_a_fault_in_the_reference_is_caught(fault):
    assert is_caught_in_reference(reference_with(*IN_REFERENCE[fault]))


@pytest.mark.parametrize("fault", IN_EVALUATOR)
def test_a_fault_in_the_evaluator_is_caught(fault, tmp_path, monkeypatch):
    module, before, after = IN_EVALUATOR[fault]
    name = f"mutated_{list(IN_EVALUATOR).index(fault)}"
    (tmp_path / name).mkdir()
    for source in EVALUATOR.glob("*.py"):
        text = source.read_text()
        text = mutated(text, before, after) if source.stem == module else text
        (tmp_path / name / source.name).write_text(text.replace("transforms.consent_table", name))
    monkeypatch.syspath_prepend(tmp_path)
    assert is_caught_in_evaluator(importlib.import_module(name))


def test_without_a_fault_nothing_is_caught():
    assert not is_caught_in_reference(reference_with('"""Every list', '"""Each list'), range(10))
    assert not is_caught_in_evaluator(transforms.consent_table, range(10))
