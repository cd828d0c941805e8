"""The data sheet of a head, as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from provoice.words import several
from schemas.releases import SMALLEST_GROUP

if TYPE_CHECKING:
    from transforms.accent_head import AccentHead, DataSheet

_WIDTH = 100


def sheet_text(head: AccentHead, sha256: str) -> str:
    """What it was trained on, what it does with people it has not heard, and how far that can be believed."""
    sheet = head.sheet
    labels = ", ".join(f"{name} {several(count.speakers, 'speaker')}" for name, count in sheet.labels.items())
    utterances = sum(count.utterances for count in sheet.labels.values())
    facts = {
        "head": f"{head.id}, version {head.version}",
        "sha256": sha256,
        "trained on": f"release {sheet.release}@{sheet.release_version}, decided at ledger position "
        f"{sheet.ledger_position}",
        "its sha256": sheet.release_sha256,
        "answers for it": sheet.owner,
        "labels": f"of {head.label_set}: {labels}",
        "goes by": sheet.hears,
        "heard": f"{several(utterances, 'utterance')} of {several(sheet.people, 'speaker')}; "
        f"{sheet.left_out:,} left out, beyond what is taken of one speaker or too short",
    }
    parts = [_listed(facts), *_figures(head), _table(_confusion(head)), *_doubts(sheet)]
    return "\n\n".join(part for part in parts if part) + "\n"


def config_text(place: str, head: AccentHead, sha256: str) -> str:
    """What to put into a configuration."""
    return (
        f"accent:\n  method: head\n  label_set: {head.label_set}\n  head: {place}\n  head_sha256: {sha256}\n"
    )  # fmt: skip


def _figures(head: AccentHead) -> list[str]:
    sheet = head.sheet
    low, high = sheet.accuracy_interval
    facts = {
        "accuracy": f"{sheet.accuracy:.2f}, with other speakers {low:.2f} to {high:.2f}; by chance {sheet.chance:.2f}",
        "by utterance": f"{sheet.utterance_accuracy:.2f}; always the commonest label {sheet.majority:.2f}",
        "tags": f"{sheet.coverage:.2f} of utterances ({sheet.wanted_coverage:.2f} wanted), of them "
        f"{sheet.accuracy_covered:.2f} right: those with a score of {head.threshold:.2f} or more",
        "calibration": f"error {sheet.calibration_error:.2f} ({sheet.calibration_error_uncalibrated:.2f} before), "
        f"temperature {head.temperature:.2f}",
    }
    said = "With people it has not heard, each label counting the same and within it each speaker:"
    curve = [
        ("tagged", *(f"{one:.2f}" for one, _ in sheet.curve)),
        ("right", *(f"{one:.2f}" for _, one in sheet.curve)),
    ]
    return [f"{said}\n{_listed(facts)}", _table(curve)]


def _confusion(head: AccentHead) -> list[Sequence[str]]:
    names = list(head.labels)
    rows = [(name, *(f"{n:,}" for n in row)) for name, row in zip(names, head.sheet.confusion, strict=True)]
    return [("declared as", *names, "not sure"), *rows]


def _doubts(sheet: DataSheet) -> list[str]:
    few = [name for name, count in sheet.labels.items() if count.speakers < SMALLEST_GROUP]
    said = []
    if few:
        said.append(f"Fewer than {SMALLEST_GROUP} speakers: {', '.join(few)}. Figures about so few people say little.")
    if sheet.accuracy_interval[0] <= sheet.chance:
        said.append("With other speakers it may be no better than chance: do not tag with it.")
    return [textwrap.fill(" ".join(said), _WIDTH)] if said else []


def _listed(facts: Mapping[str, str]) -> str:
    width = max(map(len, facts))
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in facts.items())


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
