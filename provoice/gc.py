"""What `provoice gc` says."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict

from lake.lake import Lake
from pipelines.gc import gc
from pipelines.gc_account import Account, Amount, Superseded, Wanted
from provoice.words import hours, several, size
from schemas.errors import ConfigError

_NAMES = {
    "unit": "tars and parts",
    "plan": "plans",
    "report": "reports",
    "snapshot": "files of snapshots",
    "release": "files of releases",
    "projection": "files of the ledger's projection",
    "unfinished": "temporary files",
    "upload": "uploads that were never finished",
}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_GRACE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def seconds(text: str) -> float:
    """`90m`, `36h`, `2d`, or seconds. Raises ConfigError."""
    found = _GRACE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"--grace {text}: say how long as 90m, 36h or 2d, or in seconds")
    return float(found[1]) * _UNITS[found[2] or "s"]


def command(lake_uri: str, *, is_sure: bool, superseded: bool, grace: str | None, as_json: bool) -> str:
    """Sweeps, or says what would be swept, as text or as one JSON object."""
    lake = Lake.open(lake_uri)
    grace_s = None if grace is None else seconds(grace)
    if is_sure:
        lake.root.check_exclusive_create()  # what makes it safe beside writers
    show = _progress if sys.stderr.isatty() and not as_json else _nothing
    account = gc(lake, Wanted(is_sure, superseded, grace_s), show)
    if show is _progress:
        sys.stderr.write("\r\x1b[K")
    if as_json:
        return json.dumps(_as_object(account)) + "\n"
    again = [
        "provoice",
        "gc",
        lake_uri,
        *(["--superseded"] if superseded else []),
        *(["--grace", grace] if grace else []),
    ]
    return _said(lake.root.uri, account, shlex.join([*again, "--yes"]))


def _nothing(_what: str, _count: int) -> None: ...


def _progress(what: str, count: int) -> None:
    sys.stderr.write(f"\r\x1b[K{count:,} {what}")
    sys.stderr.flush()


def _as_object(account: Account) -> object:
    swept = {kind: asdict(amount) for kind, amount in account.swept.items()}
    return {**asdict(account), "swept": swept, "objects": account.objects, "size_bytes": account.size_bytes}


def _said(uri: str, account: Account, command: str) -> str:
    verb = "deleted" if account.is_deleted else "would delete"
    lines = [f"{uri}: {verb} {several(account.objects, 'object')}, {size(account.size_bytes)}"]
    width = max((len(_NAMES[kind]) for kind in account.swept), default=0)
    for kind, amount in account.swept.items():
        lines.append(f"  {_NAMES[kind]:<{width}}  {amount.objects:>9,}  {size(amount.size_bytes):>10}")
        if not account.is_deleted:
            lines += [f"    {path}" for path in amount.examples]
            lines += [f"    … and {amount.objects - len(amount.examples):,} more"] * (
                amount.objects > len(amount.examples) > 0
            )
    lines += [f"  {line}" for line in (*_replaced(account.superseded, account.is_deleted), *_left(account))]
    lines.append(f"  grace     {_grace(account)}")
    if account.is_deleted:
        return "\n".join(lines) + "\n"
    if not account.objects:
        return "\n".join([*lines, "nothing to delete"]) + "\n"
    return "\n".join([*lines, "nothing was deleted; this does it:", command]) + "\n"


def _grace(account: Account) -> str:
    grace = account.grace
    why = f", for {', '.join(grace.open_runs)} may be at work" if grace.open_runs else ""
    return f"{hours(grace.grace_s)}; the least allowed now is {hours(grace.least_s)}{why}"


def _replaced(superseded: Superseded | None, is_deleted: bool) -> Iterator[str]:
    if superseded is None:
        return
    verb = "collected" if is_deleted else "to collect"
    yield f"replaced  {several(superseded.collected, 'unit')} {verb}, for newer runs made all of it again"
    if superseded.released:
        yield f"          {several(superseded.released, 'unit')} kept, for a release names it"
    if superseded.waiting:
        kept = several(superseded.waiting, "unit")
        yield f"          {kept} kept for now: what replaced it is younger than the grace, explores, or failed"


def _left(account: Account) -> Iterator[str]:
    left: list[tuple[Amount, str]] = [
        (account.young, "younger than the grace"),
        (account.waiting, "of units, plans, snapshots or releases that may still be finished"),
        (account.foreign, "under a name that is not ours"),
        (account.refused, "of the ledger, which lets nobody delete"),
    ]
    for amount, why in left:
        if amount.objects:
            yield f"left      {several(amount.objects, 'object')} {why}"
