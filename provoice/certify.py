"""What `provoice audit scan --finish` does after a scan that has passed: the certificate first, then the seal's end.

Keyed hashes for later scans are written, then what the scan can vouch for becomes final, then the plain seal is
destroyed. Whoever dies between two of these scans again, and finds what was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lake.lake import Lake
from pipelines.erase.certificate import certificates
from pipelines.erase.final import Judged, Scan, judge
from pipelines.erase.signing import sign
from pipelines.verify.needles import Kind, Needles, Sealed
from pipelines.verify.report import ScanReport
from pipelines.verify.seal import KEY_VARIABLE, destroy, key_from_environment, keyed, read_seal, write_seal
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of the certificates and of the seal."""

    judged: tuple[Judged, ...]
    keyed_path: Path
    is_destroyed: bool


def check_finish(lake: Lake, seal_uri: str, needles: Needles) -> None:
    """Raises ConfigError, before anything is looked through, where a scan with this seal could not end anything."""
    if needles.is_keyed:
        raise ConfigError(f"--finish destroys a plain seal, and {seal_uri} is a keyed one")
    if "://" in seal_uri:
        raise ConfigError(f"--finish destroys a seal on this machine, and cannot know that {seal_uri} would be gone")
    if key_from_environment() is None:
        raise ConfigError(f"--finish keeps keyed hashes for later scans: set ${KEY_VARIABLE} (`openssl rand -hex 32`)")
    _sealed(seal_uri, needles)
    sign(b"")  # with a key that cannot sign, a certificate could not become final
    certified = {subject for one in certificates(lake) for subject in one.subjects}
    if missing := sorted(_subjects(needles) - certified):
        raise ConfigError(f"{lake.root.uri} has no certificate of {', '.join(missing)} that could become final")


def finish(lake: Lake, seal_uri: str, needles: Needles, report: ScanReport) -> Finished:
    """The seal goes where the newest certificate of each of its people is final now."""
    path = Path(seal_uri).expanduser().absolute()
    kept = _keep_keyed(path, needles)
    judged = tuple(judge(lake, _scan_of(seal_uri, needles, report)))
    is_over = all(one.why_not is None for one in _newest(lake, needles, judged))
    if is_over:
        destroy(path)
    return Finished(judged, kept, is_over)


def _newest(lake: Lake, needles: Needles, judged: Sequence[Judged]) -> list[Judged]:
    """What was said of the newest certificate of each person; erasures that have none yet are newer still."""
    numbers = {subject: one.number for one in certificates(lake) for subject in one.subjects}
    newest = {numbers[subject] for subject in _subjects(needles)}
    return [one for one in judged if one.number in newest or not one.uri]


def _keep_keyed(path: Path, needles: Needles) -> Path:
    key = key_from_environment()
    if key is None:
        raise ConfigError(f"${KEY_VARIABLE} is not set")
    kept, made = path.with_name(f"{path.name}.keyed"), keyed(needles, key)
    if not kept.exists():
        write_seal(kept, made)
    elif read_seal(str(kept), key).patterns != made.patterns:
        raise ConfigError(f"{kept} is there already, and of another seal: move it away and scan again")
    return kept


def _sealed(seal_uri: str, needles: Needles) -> Sealed:
    if needles.sealed is None:
        raise ConfigError(f"{seal_uri} does not say when and of which lake it was made, so it can end nothing")
    return needles.sealed


def _subjects(needles: Needles) -> frozenset[str]:
    return frozenset(term.text for term in needles.terms if term.kind is Kind.SUBJECT)


def _scan_of(seal_uri: str, needles: Needles, report: ScanReport) -> Scan:
    now, sealed = datetime.now(UTC), _sealed(seal_uri, needles)
    return Scan(
        subjects=_subjects(needles),
        sealed_lake=sealed.lake,
        sealed_at=sealed.at,
        recordings=needles.kinds.get(Kind.RECORDING, 0) + needles.not_searched.get("shared", 0),
        has_passed=report.has_passed,
        listed_at=report.listed_at or now,
        ended_at=now,
        roots=report.roots,
        objects=report.objects,
        size_bytes=report.size_bytes,
        unpacked_bytes=report.unpacked_bytes,
        sound_s=report.sound_s,
        looked_for=report.looked_for,
        not_searched=report.not_searched,
        expected=len(report.expected),
        report=report.model_dump_json(indent=1).encode(),
    )
