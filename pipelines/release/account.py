"""The account of a choice: utterances, audio and people after each step, and how groups fared, without naming few.

Everything is counted in cells: utterances of the same people, accent, gender and answer. Cells of several files add up
to the cells of all, in any order, for durations are whole microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.releases import SMALLEST_GROUP, Attrition, Share

_BETWEEN = "\x1f"  # stands in no pseudonym that a catalogue may name: it is a control character
GROUPS = ("accent", "gender")
CLASSES = ("all of theirs", "half or more of theirs", "less than half of theirs", "none of theirs")
"""How people fared: how many of their utterances are chosen."""
KEYS = ("people", *GROUPS, "reason")


def cells(
    records: pa.Table, lengths: NDArray[np.int64], reasons: pa.Array, groups: Mapping[str, pa.Array],
    duration_s: NDArray[np.float64], steps: Sequence[NDArray[np.bool_]],
) -> pa.Table:  # fmt: skip
    """The cells of some rows: KEYS, and `n{i}` utterances and `us{i}` microseconds that are left after step i.

    `records`, `lengths` and `reasons` are per run of rows, `groups`, `duration_s` and `steps` per row.
    """
    codes = [np.asarray(groups[name].dictionary_encode(null_encoding="encode").indices) for name in GROUPS]
    of_row = np.repeat(np.arange(len(lengths)), lengths)
    starts = _starts([of_row, *codes])
    if not len(starts):
        return _schema(len(steps)).empty_table()
    first = pa.array(starts)
    run = pa.array(of_row[starts])
    micros = np.rint(np.nan_to_num(duration_s) * 1e6).astype(np.int64)
    columns: dict[str, Any] = {
        "people": pc.binary_join(records["subject_ids"].combine_chunks(), _BETWEEN).take(run),
        **{name: groups[name].take(first) for name in GROUPS},
        "reason": reasons.take(run),
    }
    for number, step in enumerate(steps):
        columns[f"n{number}"] = np.add.reduceat(step.astype(np.int64), starts)
        columns[f"us{number}"] = np.add.reduceat(np.where(step, micros, 0), starts)
    return added([pa.table(columns).cast(_schema(len(steps)))], len(steps))


def added(tables: Sequence[pa.Table], steps: int) -> pa.Table:
    """Cells of several tables, those of equal keys as one."""
    whole = pa.concat_tables([_schema(steps).empty_table(), *tables])
    figures = [f"{kind}{number}" for number in range(steps) for kind in ("n", "us")]
    found = whole.group_by(list(KEYS), use_threads=False).aggregate([(name, "sum") for name in figures])
    names = {f"{name}_sum": name for name in figures}
    return found.rename_columns([names.get(name, name) for name in found.column_names]).select(_schema(steps).names)


def share(found: pa.Table, step: int) -> Share:
    """What is left of `found` cells after a step."""
    left = found.filter(pc.greater(found[f"n{step}"], 0))
    micros = pc.sum(left[f"us{step}"]).as_py() or 0
    return Share(utterances=pc.sum(left[f"n{step}"]).as_py() or 0, audio_s=micros / 1e6, people=len(_people(left)))


def allowed(found: pa.Table) -> pa.Table:
    """The cells that nothing denies."""
    return found.filter(pc.is_null(found["reason"]))


def by_reason(found: pa.Table, step: int) -> dict[str, Share]:
    """What is denied of what is left after a step, by reason, most audio first."""
    reasons: list[str] = pc.unique(found["reason"]).drop_null().to_pylist()
    shares = {reason: share(found.filter(_is(found["reason"], reason)), step) for reason in reasons}
    told = sorted(shares, key=lambda reason: (-shares[reason].audio_s, reason))
    return {reason: shares[reason] for reason in told if shares[reason].utterances}


def attrition(found: pa.Table, candidates: int, chosen: int) -> dict[str, tuple[Attrition, ...]]:
    """How groups fared between two steps; of the second only what is allowed counts.

    Groups of fewer than SMALLEST_GROUP people are put together. Where even together they are fewer, and others are
    told, the smallest of those joins them: else one subtraction from the whole would tell what was kept back.
    """
    kept = allowed(found)
    told = {
        name: _fared(
            pc.unique(found[name]).to_pylist(),
            lambda values, name=name: (  # type: ignore[misc]
                share(found.filter(_is_any(found[name], values)), candidates),
                share(kept.filter(_is_any(kept[name], values)), chosen),
            ),
        )
        for name in GROUPS
    }
    people, classes = _how_much(found, kept, candidates, chosen)

    def theirs(values: Sequence[str | None]) -> tuple[Share, Share]:
        of = people.filter(_is_any(classes, values))
        return _of_people(found, of, candidates), _of_people(kept, of, chosen)

    told["subject"] = _fared([value for value in CLASSES if pc.any(pc.equal(classes, value)).as_py()], theirs)
    return told


def _fared(
    values: Sequence[str | None], shares: Callable[[Sequence[str | None]], tuple[Share, Share]]
) -> tuple[Attrition, ...]:  # fmt: skip
    groups = {value: shares([value]) for value in values}
    shown = {value: pair for value, pair in groups.items() if not _is_small(pair)}
    small = [value for value in values if value not in shown]
    while small and shown and _is_small(shares(small)):
        smallest = min(shown, key=lambda value: (shown[value][0].people, value or ""))
        del shown[smallest]
        small.append(smallest)
    order = sorted(shown, key=lambda value: (-shown[value][0].audio_s, value or ""))
    rows = tuple(_told(value, False, *shown[value]) for value in order)
    return (*rows, _told(None, True, *shares(small))) if small else rows


def _how_much(found: pa.Table, kept: pa.Table, candidates: int, chosen: int) -> tuple[pa.Array, pa.Array]:
    """Everybody, and how much of what there was of them is chosen, as one of CLASSES."""
    there, left = _each(found, candidates), _each(kept, chosen)
    place = pc.index_in(there["who"], value_set=left["who"].combine_chunks())
    number = left["n"].combine_chunks().take(place.combine_chunks()).fill_null(0)
    ratio = pc.divide(number.cast(pa.float64()), there["n"].combine_chunks().cast(pa.float64()))
    classes = pc.case_when(
        pa.StructArray.from_arrays(
            [pc.equal(number, 0), pc.equal(ratio, 1.0), pc.greater_equal(ratio, 0.5)], names=["none", "all", "half"]
        ),
        *(pa.scalar(CLASSES[n]) for n in (3, 0, 1, 2)),
    )
    return there["who"].combine_chunks(), classes


def _each(found: pa.Table, step: int) -> pa.Table:
    """Utterances of each person after a step, where there are any; one of two people counts for both."""
    left = found.filter(pc.greater(found[f"n{step}"], 0))
    people = pc.split_pattern(left["people"].combine_chunks().fill_null(""), _BETWEEN)
    table = pa.table({"who": pc.list_flatten(people), "n": left[f"n{step}"].take(pc.list_parent_indices(people))})
    table = table.filter(pc.not_equal(table["who"], ""))
    found_ = table.group_by("who", use_threads=False).aggregate([("n", "sum")])
    return found_.rename_columns({"n_sum": "n"}).select(["who", "n"])


def _of_people(found: pa.Table, people: pa.Array, step: int) -> Share:
    """What is left after a step of utterances in which any of `people` is heard; only these are counted as people."""
    left = found.filter(pc.greater(found[f"n{step}"], 0))
    sets = pc.split_pattern(left["people"].combine_chunks().fill_null(""), _BETWEEN)
    is_theirs = pc.is_in(pc.list_flatten(sets), value_set=people)
    rows = pc.unique(pc.list_parent_indices(sets).filter(is_theirs))
    whole = share(left.take(rows), step)
    return whole.model_copy(update={"people": len(pc.unique(pc.list_flatten(sets).filter(is_theirs)))})


def _told(value: str | None, is_suppressed: bool, candidates: Share, chosen: Share) -> Attrition:
    few = is_suppressed and _is_small((candidates, chosen))
    return Attrition(
        value=value, is_suppressed=is_suppressed, candidates=None if few else candidates, chosen=None if few else chosen
    )


def _is_small(pair: tuple[Share, Share]) -> bool:
    """Figures of so few people would be figures about a person."""
    candidates, chosen = pair
    return candidates.people < SMALLEST_GROUP or 0 < chosen.people < SMALLEST_GROUP


def _is(column: pa.ChunkedArray, value: str) -> Any:
    return pc.fill_null(pc.equal(column, value), False)


def _is_any(column: pa.ChunkedArray, values: Sequence[str | None]) -> Any:
    return pc.is_in(column, pa.array(values, pa.string()))


def _people(found: pa.Table) -> pa.Array:
    """Everybody in these cells, each once."""
    sets = pc.unique(found["people"]).drop_null()
    names = pc.unique(pc.list_flatten(pc.split_pattern(sets, _BETWEEN)))
    return names.filter(pc.not_equal(names, ""))


def _starts(codes: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Where a row differs from the one before it."""
    changed = np.zeros(len(codes[0]), dtype=bool)
    changed[:1] = True
    for column in codes:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def _schema(steps: int) -> pa.Schema:
    figures = [(f"{kind}{number}", pa.int64()) for number in range(steps) for kind in ("n", "us")]
    return pa.schema([*((name, pa.string()) for name in KEYS), *figures])
