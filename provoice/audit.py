"""What `provoice audit` says: what was sealed, and what a scan found."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lake.lake import Lake
from lake.storage import Root
from pipelines.engines import engine_named
from pipelines.engines.contract import Settings
from pipelines.verify.listings import clear, scan_on
from pipelines.verify.report import Hit, ScanReport
from pipelines.verify.scan import Expectation, surroundings
from pipelines.verify.seal import key_from_environment, read_seal, write_seal
from pipelines.verify.work import ScanWork
from provoice.certify import Finished, check_finish, finish
from provoice.sealing import seal
from provoice.words import hours, several, size
from schemas.errors import ConfigError

_SHOWN = 40
_LEFT_OUT = {
    "shared": ("needle that other people's rows hold, too", "needles that other people's rows hold, too"),
    "too_short": ("needle too short to be told from chance", "needles too short to be told from chance"),
    "no_features": ("sound without features, as a steady tone", "sounds without features, as silence or a tone"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A scan as a person asks for it."""

    lake_uri: str
    seal_uri: str
    also: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    engine: str = "local"
    workers: int | None = None
    work: str | None = None
    finish: bool = False
    options: tuple[str, ...] = ()


def seal_text(lake_uri: str, subjects: tuple[str, ...], out: str, *, as_json: bool) -> str:
    """Seals what is known of these people, and says how much that is."""
    lake = Lake.open(lake_uri)
    path = _outside(lake, out)
    needles = seal(lake, subjects, _counter(as_json))
    _quiet(as_json)
    write_seal(path, needles)
    if as_json:
        return json.dumps({"seal": str(path), "looked_for": needles.kinds, "not_searched": needles.not_searched}) + "\n"
    lines = [
        f"{path}: {_counts(needles.kinds) or 'nothing but the names themselves'}",
        *_left_out(needles.not_searched),
    ]
    lines += [
        "keep it as you keep the lake; after the erasure:",
        f"provoice audit scan {lake_uri} --seal {out} --finish",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Told:
    """What a scan says. `finished`: None where it was not asked to end anything, or may not."""

    text: str
    report: ScanReport
    finished: Finished | None = None


def scan_text(asked: Asked, *, as_json: bool) -> Told:
    """Scans, and says what was found; what passes may end what is provisional."""
    lake = Lake.open(asked.lake_uri)
    if asked.work is not None:
        _check_work(lake, asked.work)
    needles = read_seal(asked.seal_uri, key_from_environment())
    if asked.finish:
        check_finish(lake, asked.seal_uri, needles)
    also = [Root(uri) for uri in asked.also]
    expectations = [Expectation(Root(uri).uri) for uri in asked.expect]
    roots, expected = surroundings(lake.root, also, expectations)
    what = {"roots": [root.uri for root in roots], "expect": list(asked.expect), "seal": _digest(asked.seal_uri)}
    settings = Settings(name="provoice-scan", processes=asked.workers, options=asked.options)
    show = _counter(as_json)
    with _folder(asked.work) as folder:
        work = ScanWork(_absolute(asked.seal_uri), folder.uri, tuple(expected))
        report = scan_on(
            engine_named(asked.engine), settings, roots, needles, work, what,
            lambda done, known: show(f"of {several(known, 'batch', 'batches')} looked through", done),
        )  # fmt: skip
        _quiet(as_json)
        finished = finish(lake, asked.seal_uri, needles, report) if asked.finish and report.has_passed else None
        clear(folder)
    if as_json:
        content = {**report.model_dump(mode="json"), **_verdicts(report), **_finished_object(finished)}
        return Told(json.dumps(content) + "\n", report, finished)
    return Told(_said(report) + _ended(asked, finished), report, finished)


def _verdicts(report: ScanReport) -> dict[str, bool]:
    return {"is_clean": report.is_clean, "is_complete": report.is_complete, "has_passed": report.has_passed}


def _finished_object(finished: Finished | None) -> dict[str, object]:
    if finished is None:
        return {}
    judged = [{"number": one.number, "certificate": one.uri, "why_not": one.why_not} for one in finished.judged]
    return {"certificates": judged, "keyed_seal": str(finished.keyed_path), "is_destroyed": finished.is_destroyed}


def _ended(asked: Asked, finished: Finished | None) -> str:
    if finished is None:
        return ""
    lines = [
        f"certificate {one.number} is final: {one.uri}"
        if one.why_not is None
        else f"certificate {one.number} stays provisional: {one.why_not}"
        for one in finished.judged
    ]
    kept = finished.keyed_path
    if finished.is_destroyed:
        lines.append(f"{asked.seal_uri} is destroyed; {kept} looks again:")
        lines.append(f"provoice audit scan {asked.lake_uri} --seal {kept}")
    else:
        lines.append(f"{asked.seal_uri} is kept: the newest certificate of each of these people must be final first")
    return "\n".join(lines) + "\n"


@contextmanager
def _folder(uri: str | None) -> Iterator[Root]:
    """Where batches and receipts lie: a folder of the machine's that goes with the scan, or one that was named."""
    if uri is None:
        with tempfile.TemporaryDirectory(prefix="provoice-scan-") as name:
            yield Root(name)
        return
    yield Root(uri)


def _digest(seal_uri: str) -> str:
    """Tells one seal from another."""
    folder, _, name = _absolute(seal_uri).rpartition("/")
    return hashlib.blake2b(Root(folder or "/").read(name), digest_size=16).hexdigest()


def _outside(lake: Lake, out: str) -> Path:
    if "://" in out:
        raise ConfigError(f"--out {out}: a seal is a file on this machine, so that it can be destroyed")
    path = Path(_absolute(out))
    for root in (lake.root, lake.ledger().root):
        if root.is_local and path.is_relative_to(root.uri):
            raise ConfigError(f"--out {out} lies within {root.uri}; a seal lies outside what is scanned")
    return path


def _check_work(lake: Lake, uri: str) -> None:
    for root in (lake.root, lake.ledger().root):
        if f"{Root(uri).uri}/".startswith(f"{root.uri}/"):
            raise ConfigError(f"--work {uri} lies within {root.uri}; receipts lie outside what is scanned")


def _absolute(uri: str) -> str:
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


# --- words ------------------------------------------------------------------------------------------------------------


def _said(report: ScanReport) -> str:
    where, sound = ", ".join(report.roots), hours(report.sound_s)
    much = f"{several(report.objects, 'object')}, {size(report.size_bytes)}"
    lines = [
        f"{where}: looked through {much} ({size(report.unpacked_bytes)} more unpacked, {sound} of sound)",
        f"  in {hours(report.wall_s)}",
        f"  for {_counts(report.looked_for)}{', by keyed hashes' if report.is_keyed else ''}",
        *(f"  {line}" for line in _left_out(report.not_searched)),
    ]
    lines += [f"  {several(report.vanished, 'object')} went away meanwhile"] * bool(report.vanished)
    lines += [f"found     {_place(hit)}" for hit in report.unexpected[:_SHOWN]]
    lines += [f"          … and {len(report.unexpected) - _SHOWN:,} more (--json)"] * (len(report.unexpected) > _SHOWN)
    if report.expected:
        by_object: dict[str, int] = {}
        for hit in report.expected:
            by_object[hit.object] = by_object.get(hit.object, 0) + hit.count
        lines += [f"expected  {uri}: {several(count, 'time')}" for uri, count in sorted(by_object.items())]
    for one in report.not_opened[:_SHOWN]:
        lines.append(f"unopened  {_where(one.object, one.state, one.version, one.inside)}: {one.reason}")
    return "\n".join([*lines, _verdict(report)]) + "\n"


def _verdict(report: ScanReport) -> str:
    if not report.is_clean:
        return f"FOUND: {several(len(report.unexpected), 'place')} still hold what should be gone"
    if not report.is_complete:
        return f"nothing found, but {several(len(report.not_opened), 'thing')} could not be opened: no proof yet"
    return "nothing found"


def _place(hit: Hit) -> str:
    what = f"{hit.label}, {hit.encoding}" + (f", {hit.detail}" if hit.detail else "")
    times = f" ({several(hit.count, 'time')})" if hit.count > 1 else ""
    return f"{_where(hit.object, hit.state, hit.version, hit.inside)}, byte {hit.offset:,}: {what}{times}"


def _where(uri: str, state: str, version: str | None, inside: str) -> str:
    which = "" if state == "current" else f" ({state}{f' version {version}' if version else ''})"
    return f"{uri}{which}" + (f" › {inside}" if inside else "")


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(several(count, kind) for kind, count in kinds.items())


def _left_out(counts: Mapping[str, int]) -> list[str]:
    return [f"not looked for: {several(count, *_LEFT_OUT[why])}" for why, count in counts.items()]


def _counter(as_json: bool) -> Callable[[str, int], None]:
    def show(what: str, count: int) -> None:
        if sys.stderr.isatty() and not as_json:
            sys.stderr.write(f"\r\x1b[K{count:,} {what}")
            sys.stderr.flush()

    return show


def _quiet(as_json: bool) -> None:
    if sys.stderr.isatty() and not as_json:
        sys.stderr.write("\r\x1b[K")
