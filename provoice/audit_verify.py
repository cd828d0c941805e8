"""What `provoice audit verify` says: whether what was certified and recorded still holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from lake.lake import Lake
from pipelines.erase.check import check_certificates
from pipelines.findings import Finding
from pipelines.release.proof import check_audit_rows
from provoice.words import several


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    lake_uri: str
    certificate: int | None = None
    """This one alone, and nothing else."""
    key: str | None = None
    """The public key, PEM, with which it must be signed."""
    reads_bytes: bool = False


Check = Callable[[Lake, Asked], Iterator[Finding]]


def _certificates(lake: Lake, asked: Asked) -> Iterator[Finding]:
    yield from check_certificates(lake, asked.certificate, asked.key, reads_bytes=asked.reads_bytes)


def _audit_rows(lake: Lake, _asked: Asked) -> Iterator[Finding]:
    yield from check_audit_rows(lake)


CHECKS: tuple[Check, ...] = (_certificates, _audit_rows)
"""In the order in which they are told; the first alone where one certificate is asked for."""


def verify_text(asked: Asked, *, as_json: bool) -> tuple[str, bool]:
    """What was found, a line each, and whether all of it holds."""
    lake = Lake.open(asked.lake_uri)
    checks = CHECKS[:1] if asked.certificate is not None else CHECKS
    found = [finding for check in checks for finding in check(lake, asked)]
    holds = all(finding.holds for finding in found)
    if as_json:
        return json.dumps({"holds": holds, "findings": [asdict(finding) for finding in found]}) + "\n", holds
    lines = [f"{'holds' if one.holds else 'FAILS'}  {one.about}: {one.said}" for one in found]
    return "\n".join([*lines, f"{lake.root.uri}: {_verdict(found)}"]) + "\n", holds


def _verdict(found: list[Finding]) -> str:
    broken = sum(not finding.holds for finding in found)
    if broken:
        return f"{broken:,} of {several(len(found), 'statement')} {'does' if broken == 1 else 'do'} not hold"
    return f"{several(len(found), 'statement')}, and all hold" if found else "nothing was certified yet"
