"""From provisional to final: a certificate's second generation, once a scan that does not trust it has passed.

The provisional one stays. What the scan knows comes as plain values, for it shares no code with an erasure; its report
is stored beside the certificate, which names it by digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from lake import layout
from lake.lake import Lake
from pipelines.erase.certificate import FINAL, Certificate, Proof, certificates, issue, newest_certificate
from pipelines.erase.record import unfinished
from schemas.errors import AlreadyExists
from schemas.instants import to_text

_REPORT = "scan.json"


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan, as far as a certificate needs to know it."""

    subjects: frozenset[str]
    """Whose pseudonyms it looked for."""
    sealed_lake: str
    sealed_at: datetime
    recordings: int
    """Recordings that it looked for, and needles that it had to leave out, for others share them."""
    has_passed: bool
    """Everything opened, nothing found, and looked for as it was, not as keyed hashes."""
    listed_at: datetime
    ended_at: datetime
    roots: tuple[str, ...]
    objects: int
    size_bytes: int
    unpacked_bytes: int
    sound_s: float
    looked_for: dict[str, int]
    not_searched: dict[str, int]
    expected: int
    report: bytes
    """As JSON; it names no needle."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one certificate."""

    number: int
    uri: str
    """Where the one lies that holds now; empty where there is none yet."""
    why_not: str | None
    """Why it is not final; None: it is."""


def judge(lake: Lake, scan: Scan) -> Iterator[Judged]:
    """Makes every certificate final of which the scan looked for all people, and can vouch for; one that is final stays
    as it is. Also of erasures of these people that are not at their end it is said."""
    root = lake.ledger().root
    for one in unfinished(lake):
        if scan.subjects.intersection(one.started.subjects):
            yield Judged(one.number, "", "the erasure is not finished: start it again, and then scan once more")
    for provisional in certificates(lake):
        if not scan.subjects.intersection(provisional.subjects):
            continue
        number, newest = provisional.number, newest_certificate(lake, provisional.number).certificate
        why = None if newest.status == FINAL else _why_not(provisional, scan)
        if why is None:
            yield Judged(number, finalise(lake, provisional, scan), None)
        else:
            yield Judged(number, root.uri_of(layout.certificate_path(number, 0)), why)


def finalise(lake: Lake, provisional: Certificate, scan: Scan) -> str:
    """Stores the report and issues the final certificate; its URI. Where whoever came first did so, theirs holds."""
    root, number = lake.ledger().root, provisional.number
    path = layout.certificate_path(number, 1)
    if root.exists(path):
        return root.uri_of(path)
    digest = hashlib.sha256(scan.report).hexdigest()
    report = layout.certificate_path(number, 1, f"{digest[:12]}.{_REPORT}")
    with suppress(AlreadyExists):  # by the same name only the same bytes
        root.create(report, scan.report)
    proof = Proof(
        report=report, report_sha256=digest, sealed_at=scan.sealed_at, listed_at=scan.listed_at, roots=scan.roots,
        objects=scan.objects, size_bytes=scan.size_bytes, unpacked_bytes=scan.unpacked_bytes, sound_s=scan.sound_s,
        looked_for=scan.looked_for, not_searched=scan.not_searched, expected=scan.expected,
    )  # fmt: skip
    clocks = provisional.clocks.model_copy(update={"proved_at": scan.ended_at})
    update = {"generation": 1, "status": FINAL, "clocks": clocks, "proof": proof}
    uri, _ = issue(lake, provisional.model_copy(update=update))
    return uri


def _why_not(certificate: Certificate, scan: Scan) -> str | None:
    """What keeps the scan from vouching for it."""
    if not scan.has_passed:
        return "the scan has not passed"
    if missing := sorted(set(certificate.subjects) - scan.subjects):
        return f"the seal is not about {', '.join(missing)}, who were erased with the others"
    if scan.sealed_lake != certificate.lake:
        return f"the seal is of another lake, {scan.sealed_lake}"
    if scan.sealed_at > certificate.clocks.began_at:
        return f"the seal was made when erasing had begun ({to_text(scan.sealed_at)}), and some of it was gone by then"
    if scan.recordings < certificate.recordings:
        return f"the seal knows {scan.recordings:,} of the {certificate.recordings:,} recordings that were erased"
    if scan.listed_at < certificate.clocks.purged_at:
        return "the scan began before all was purged; scan once more"
    outside = [uri for uri in (certificate.lake, certificate.ledger) if not _is_within(uri, scan.roots)]
    return f"the scan left out {', '.join(outside)}" if outside else None


def _is_within(uri: str, roots: tuple[str, ...]) -> bool:
    return any(f"{uri}/".startswith(f"{root.rstrip('/')}/") for root in roots)
