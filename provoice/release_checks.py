"""What `provoice release diff` and `provoice release verify` print."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lake.lake import Lake
from lake.releases import check_not_replaced, read_release
from lake.runs import list_runs
from pipelines.release.diff import NOT_ASKED, REPLACED, Diff, diff
from pipelines.release.verify import NOBODY, Verified, verify
from provoice.words import hours, several
from schemas.instants import to_text
from schemas.releases import ReleaseRecord, Share

_WIDTH = 64
"""Letters of two values that still stand in one line."""
_WHY = {
    REPLACED: "replaced by a later run, or erased",
    NOT_ASKED: "not asked for any more",
}


def diff_text(
    lake_uri: str, before: tuple[str, int | None], after: tuple[str, int | None], *, as_json: bool
) -> str:  # fmt: skip
    """What changed between two releases."""
    lake = Lake.open(lake_uri)
    old, new = read_release(lake, *before), read_release(lake, *after)
    check_not_replaced(old)
    check_not_replaced(new)
    found = diff(lake, old, new)
    if as_json:
        shares = {name: getattr(found, name).model_dump() for name in ("both", "came", "went")}
        why = {reason: one.model_dump() for reason, one in found.went_for.items()}
        changed = {name: {"before": one, "after": other} for name, (one, other) in _changes(found).items()}
        return json.dumps({"changed": changed, **shares, "went_for": why}) + "\n"
    lines = [f"from {_named(found.before)} to {_named(found.after)}"]
    for name, (one, other) in _changes(found).items():
        is_long = len(one) + len(other) > _WIDTH
        lines += [f"  {name:<9} {one}", f"          → {other}"] if is_long else [f"  {name:<9} {one} → {other}"]
    lines += ["", f"  in both   {_figures(found.both)}", f"  came in   {_figures(found.came)}"]
    lines += [f"  went out  {_figures(found.went)}", *_listed(found.went_for)]
    return "\n".join(lines) + "\n"


def verify_text(lake_uri: str, name: str, version: int | None, *, as_json: bool) -> tuple[str, bool]:
    """What was found, and whether the release is as it was made."""
    lake = Lake.open(lake_uri)
    record = read_release(lake, name, version)
    check_not_replaced(record)
    found = verify(lake, record)
    if as_json:
        return json.dumps(_as_object(found)) + "\n", found.is_sound
    record = found.release
    lines = [f"{_named(record)}, decided {to_text(record.decided_at)} at ledger position {record.ledger_position}"]
    lines += _faults(found) or [
        f"  as it was made: {several(len(record.index), 'file')} to the byte, {_figures(found.checked)} decided again"
    ]
    lines += ["", f"as of {to_text(found.at)}, ledger position {found.position_now}"]
    if found.denied_now:
        lines += ["  may not be used any more, and is refused by whoever opens it:", *_listed(found.denied_now)]
        lines.append(f"  a new version is without them: provoice release create {lake_uri} {record.name} --use …")
    else:
        lines.append("  all of it may still be used")
    if found.replaced.utterances:
        lines.append(f"  {_figures(found.replaced)} are not current any more:")
        lines += _listed({_since(lake, run_id): one for run_id, one in found.replaced_by.items()})
    return "\n".join(lines) + "\n", found.is_sound


def _since(lake: Lake, run_id: str) -> str:
    """What made them anew, and when."""
    if run_id == NOBODY:
        return "erased"
    began = next((to_text(run.created_at)[:10] for run in list_runs(lake) if run.run_id == run_id), "")
    return f"made anew by run {run_id}, {began}"


def _faults(found: Verified) -> list[str]:
    lines = [f"  NOT as it was made: {path} is missing or has other bytes" for path in found.changed]
    if found.miscounted is not None:
        stated = found.release.chosen.utterances
        lines.append(f"  NOT as it was made: its index holds {found.miscounted:,} rows, it says {stated:,}")
    if found.decided_otherwise_total:
        shown = ", ".join(found.decided_otherwise)
        lines.append(
            f"  NOT as the ledger decides: {several(found.decided_otherwise_total, 'utterance')}, such as {shown}"
        )
    if found.unlike_total:
        shown = ", ".join(found.unlike)
        lines.append(f"  NOT as the lake has it: {several(found.unlike_total, 'utterance')}, such as {shown}")
    return lines


def _changes(found: Diff) -> Mapping[str, tuple[str, str]]:
    """What was asked differently, by name."""
    pairs = {
        **{key: (str(getattr(found.before.use, key)), str(getattr(found.after.use, key))) for key in ("action",)},
        **{
            key: (getattr(found.before.use, key), getattr(found.after.use, key))
            for key in type(found.before.use).model_fields
            if key not in ("action", "until")
        },
        "until": (to_text(found.before.use.until), to_text(found.after.use.until)),
        "where": (found.before.where or "everything", found.after.where or "everything"),
        "position": (str(found.before.ledger_position), str(found.after.ledger_position)),
        "decided": (to_text(found.before.decided_at), to_text(found.after.decided_at)),
        "words": (found.before.vocabulary_version or "none", found.after.vocabulary_version or "none"),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _listed(shares: Mapping[str, Share]) -> list[str]:
    width = max((len(_WHY.get(reason, reason)) for reason in shares), default=0)
    return [f"    {_WHY.get(reason, reason):<{width}}  {_figures(one)}" for reason, one in shares.items()]


def _named(record: ReleaseRecord) -> str:
    return f"{record.name}@{record.version}"


def _figures(one: Share) -> str:
    parts = several(one.utterances, "utterance"), hours(one.audio_s), several(one.people, "person", "people")
    return ", ".join(parts)


def _as_object(found: Verified) -> dict[str, object]:
    return {
        "release": found.release.name,
        "version": found.release.version,
        "is_sound": found.is_sound,
        "changed": list(found.changed),
        "miscounted": found.miscounted,
        "decided_otherwise": found.decided_otherwise_total,
        "examples": list(found.decided_otherwise),
        "checked": found.checked.model_dump(),
        "position_now": found.position_now,
        "at": to_text(found.at),
        "denied_now": {reason: one.model_dump() for reason, one in found.denied_now.items()},
        "unlike": found.unlike_total,
        "unlike_examples": list(found.unlike),
        "replaced": found.replaced.model_dump(),
        "replaced_by": {run_id: one.model_dump() for run_id, one in found.replaced_by.items()},
    }
