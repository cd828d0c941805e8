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
    records: pa.Table, lengths: NDArray[np.int64], reasons: pa.Array, groups: Mapping[str, pa.DictionaryArray],
    duration_s: NDArray[np.float64], steps: Sequence[NDArray[np.bool_]],
) -> pa.Table:  # fmt: skip
    """The cells of some rows: KEYS, and `n{i}` utterances and `us{i}` microseconds that are left after step i.

    `records`, `lengths` and `reasons` are per run of rows, `groups`, `duration_s` and `steps` per row.
    """
    codes = [groups[name].indices.fill_null(-1).to_numpy() for name in GROUPS]
    of_row = np.repeat(np.arange(len(lengths)), lengths)
    starts = _starts([of_row, *codes])
    if not len(starts):
        return _schema(len(steps)).empty_table()
    first = pa.array(starts)
    run = pa.array(of_row[starts])
    micros = np.rint(np.nan_to_num(duration_s) * 1e6).astype(np.int64)
    columns: dict[str, Any] = {
        "people": pc.binary_join(records["subject_ids"].combine_chunks(), _BETWEEN).take(run),
        **{name: groups[name].take(first).cast(pa.string()) for name in GROUPS},
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


def numbered(found: pa.Table) -> pa.Table:
    """The same cells and, as `who`, a number for everybody in each: what is asked of a whole below needs no texts."""
    sets = found["people"].combine_chunks().fill_null("").dictionary_encode()
    names = pc.split_pattern(sets.dictionary, _BETWEEN)
    flat = pc.list_flatten(names)
    is_name = np.asarray(pc.not_equal(flat, ""))
    offsets = np.append(0, np.cumsum(is_name))[names.offsets.to_numpy()].astype(np.int32)
    codes = flat.filter(pa.array(is_name)).dictionary_encode().indices
    return found.append_column("who", pa.ListArray.from_arrays(pa.array(offsets), codes).take(sets.indices))


def share(found: pa.Table, step: int) -> Share:
    """What is left of `found` cells after a step."""
    left = found.filter(pc.greater(found[f"n{step}"], 0))
    micros = pc.sum(left[f"us{step}"]).as_py() or 0
    people = pc.count_distinct(pc.list_flatten(left["who"])).as_py()
    return Share(utterances=pc.sum(left[f"n{step}"]).as_py() or 0, audio_s=micros / 1e6, people=people)


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
    classes = _how_much(found, kept, candidates, chosen)
    everybody, several = _voices(found), _voices(kept)

    def theirs(values: Sequence[str | None]) -> tuple[Share, Share]:
        of = np.isin(classes, [CLASSES.index(value) for value in values if value is not None])
        return _of_people(found, everybody, of, candidates), _of_people(kept, several, of, chosen)

    told["subject"] = _fared([value for code, value in enumerate(CLASSES) if (classes == code).any()], theirs)
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


def _voices(found: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Everybody in every cell: (place of the cell, number of the person), one of each per voice."""
    who = found["who"].combine_chunks()
    return pc.list_parent_indices(who).to_numpy(), pc.list_flatten(who).to_numpy().astype(np.int64)


def _how_much(found: pa.Table, kept: pa.Table, candidates: int, chosen: int) -> NDArray[np.int64]:
    """How much of what there was of each person is chosen, as a place in CLASSES; -1 where there was nothing. An
    utterance of two people counts for both."""
    there = _each(found, candidates, 0)
    left = _each(kept, chosen, len(there))
    classes = np.select([left == 0, left == there, 2 * left >= there], [3, 0, 1], 2)
    classes[there == 0] = -1
    return classes.astype(np.int64)


def _each(found: pa.Table, step: int, people: int) -> NDArray[np.int64]:
    """Utterances of each person after a step, by their number."""
    cell, who = _voices(found)
    # Whole numbers far below 2^53: adding them as floats loses nothing.
    return np.bincount(who, found[f"n{step}"].to_numpy()[cell], people).astype(np.int64)


def _of_people(
    found: pa.Table, voices: tuple[NDArray[np.int64], NDArray[np.int64]], people: NDArray[np.bool_], step: int
) -> Share:
    """What is left after a step of utterances in which any of `people` is heard; only these are counted as people."""
    cell, who = voices
    left = found[f"n{step}"].to_numpy()
    is_theirs = people[who] & (left[cell] > 0)
    cells_ = np.zeros(len(left), np.bool_)
    cells_[cell[is_theirs]] = True
    micros = int(found[f"us{step}"].to_numpy()[cells_].sum())
    count = len(np.unique(who[is_theirs]))
    return Share(utterances=int(left[cells_].sum()), audio_s=micros / 1e6, people=count)


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
