"""A certificate as a page that a person can read, and print: no script, no picture, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any

from pipelines.erase.signing import Signature

_STYLE = """
body { font: 16px/1.5 Georgia, serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; line-height: 1.2; }
h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; }
th { width: 38%; font-weight: normal; color: #555; }
td, th, p { overflow-wrap: anywhere; }
.status { border-left: 5px solid #c60; background: #fdf4ea; padding: .6em 1em; }
.final { border-color: #274; background: #eef6f0; }
code { font-size: .8em; word-break: break-all; }
.digests p { font-size: .9em; }
@media (max-width: 32em) { th, td { display: block; width: auto; border: 0; padding-right: 0; }
  td { padding-top: 0; border-bottom: 1px solid #ddd; } }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""
_PROVISIONAL = (
    "This is what the erasure says of itself. It is final when a scan that does not trust it has looked through every "
    "byte and found nothing: provoice audit scan --finish."
)
_COPIES = "Who opened a release in which they were heard, or trained on it, before. What they keep is out of reach."
_DIGESTS = (
    "SHA-256 of every object that a rewritten unit named before, and names now. What is in the first list and not in "
    "the second was deleted."
)
_LEFT_OUT = {
    "shared": "words that other people's rows hold as well",
    "too_short": "words too short to be told from chance",
    "no_features": "sounds without features, such as silence",
}
_MOST_UNITS = 100
"""Whose digests are printed; the file beside the page has all of them."""


def page(certificate: Mapping[str, Any], signature: Signature | None) -> bytes:
    """The certificate's JSON values as HTML."""
    number = certificate["number"]
    parts = [
        f"<h1>Certificate of erasure {number:,}</h1>",
        _status(certificate["proof"]),
        f"<p>{escape(_in_short(certificate))}</p>",
        "<h2>Whose, where</h2>",
        _table(
            [
                ("people, by pseudonym", ", ".join(certificate["subjects"])),
                ("lake", certificate["lake"]),
                ("ledger", certificate["ledger"]),
            ]
        ),
        "<h2>When</h2>",
        _table(_clocks(certificate["clocks"])),
        "<h2>What went</h2>",
        _table(_went(certificate)),
        *_releases(certificate["releases"]),
        "<h2>What stays, and why</h2>",
        _table(map(_exception, certificate["exceptions"])),
        *_copies(certificate["copies"]),
        *_proof(certificate["proof"]),
        *_signed(signature),
        *_digests(certificate["units"]),
    ]
    head = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Certificate of erasure {number:,}</title><style>{_STYLE}</style>"
    )
    return "\n".join([head, *parts, "</html>", ""]).encode()


def _status(proof: Mapping[str, Any] | None) -> str:
    if proof is None:
        return f"<p class=status><b>Provisional.</b> {escape(_PROVISIONAL)}</p>"
    said = (
        f"A scan that knows nothing of the erasure looked through {_several(proof['objects'], 'object')} "
        f"({proof['size_bytes']:,} bytes) as of {_instant(proof['listed_at'])}, and found nothing of them but what "
        "stays on purpose."
    )
    return f'<p class="status final"><b>Final.</b> {escape(said)}</p>'


def _in_short(certificate: Mapping[str, Any]) -> str:
    whom, releases = certificate["subjects"], len(certificate["releases"])
    return (
        f"{whom[0] if len(whom) == 1 else f'{len(whom):,} people'} withdrew consent. "
        f"{_several(certificate['utterances_erased'], 'utterance')} from "
        f"{_several(certificate['recordings'], 'recording')} were removed from this lake, "
        f"{_several(len(certificate['units']), 'unit')} written anew without them, and "
        f"{_several(releases, 'release')} replaced."
    )


def _clocks(clocks: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for who, at in clocks["denied_at"].items():
        yield f"{who} withdrew, and all use was denied", _instant(at)
    yield "erasing began", _instant(clocks["began_at"])
    yield "purged: nothing more was found", _instant(clocks["purged_at"])
    nobody = "nobody is known to have trained on a release with them"
    yield "who trained on them was told", _instant(clocks["notified_at"]) or nobody
    yield "proved by a scan", _instant(clocks["proved_at"]) or "not yet"


def _went(certificate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "recordings in which they were heard", f"{certificate['recordings']:,}"
    yield "sources erased from the accounts of runs", f"{certificate['sources_erased']:,}"
    yield "utterances erased", f"{certificate['utterances_erased']:,}"
    yield "units written anew", f"{len(certificate['units']):,}"
    yield "objects deleted", f"{certificate['objects_swept']:,} ({certificate['bytes_swept']:,} bytes)"
    yield "entries of the suppression list, which keep them out", f"{certificate['suppressed']:,}"
    yield "looks until nothing was found", f"{certificate['looks']:,}"


def _proof(proof: Mapping[str, Any] | None) -> list[str]:
    if proof is None:
        return []
    rows = [
        ("what it looked for was sealed", _instant(proof["sealed_at"])),
        ("looked for", ", ".join(f"{kind}: {count:,}" for kind, count in proof["looked_for"].items())),
        *(
            (f"not looked for: {_LEFT_OUT.get(why, why)}", f"{count:,}")
            for why, count in sorted(proof["not_searched"].items())
        ),
        ("looked through", ", ".join(proof["roots"])),
        ("and unpacked", f"{proof['unpacked_bytes']:,} bytes more; {proof['sound_s']:,.0f} s of sound"),
        ("found in the ledger, where it stays on purpose", f"{proof['expected']:,} places"),
    ]
    where = f"<p>Its report: {escape(proof['report'])}, SHA-256 <code>{escape(proof['report_sha256'])}</code></p>"
    return ["<h2>The scan that proved it</h2>", _table(rows), where]


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _releases(releases: list[Mapping[str, Any]]) -> list[str]:
    if not releases:
        return []
    rows = [
        (f"{one['name']}@{one['version']}", f"{one['name']}@{one['by']}" if one["by"] else "nothing was left of it")
        for one in releases
    ]
    return ["<h2>Releases that were replaced, and by which</h2>", _table(rows)]


def _copies(copies: list[Mapping[str, Any]]) -> list[str]:
    if not copies:
        return []
    rows = [(f"{one['release']}, {_instant(one['at'])}", f"{one['owner']}: {one['what']}") for one in copies]
    return ["<h2>Copies that may have left</h2>", f"<p>{_COPIES}</p>", _table(rows)]


def _exception(one: Mapping[str, Any]) -> tuple[str, str]:
    until = f"; recoverable until {_instant(one['recoverable_until'])}" if one["recoverable_until"] else ""
    where = f" ({', '.join(one['where'][:20])}{', …' if len(one['where']) > 20 else ''})" if one["where"] else ""
    return f"{one['what']}: {one['count']:,}", f"{one['why']}{until}{where}"


def _digests(units: list[Mapping[str, Any]]) -> list[str]:
    if not units:
        return []
    more = len(units) - _MOST_UNITS
    left = [f"<p>… and {_several(more, 'unit')} more, in the file beside this page.</p>"] if more > 0 else []
    shown = (_unit(one) for one in units[:_MOST_UNITS])
    return ["<section class=digests>", f"<h2>Digests</h2><p>{_DIGESTS}</p>", *shown, *left, "</section>"]


def _unit(one: Mapping[str, Any]) -> str:
    name = f"{one['run_id']} / {one['unit_id']}, generation {one['replaced_generation']} to {one['generation']}"
    lists = "".join(
        f"<br>{word}: " + (", ".join(f"<code>{escape(sha256)}</code>" for sha256 in one[key]) or "nothing")
        for word, key in (("before", "sha256_before"), ("after", "sha256_after"))
    )
    return f"<p>{escape(name)}{lists}</p>"


def _signed(signature: Signature | None) -> list[str]:
    if signature is None:
        return ["<h2>Signature</h2><p>None: no key was configured.</p>"]
    key, value = escape(signature.public_key), escape(signature.value)
    said = f"{escape(signature.algorithm)}, public key <code>{key}</code><br><code>{value}</code>"
    return [f"<h2>Signature</h2><p>Over the file beside this page, not over the page. {said}</p>"]


def _instant(text: str | None) -> str:
    """As a person reads it; an empty one is none."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC" if text else ""


def _several(n: int, one: str) -> str:
    return f"{n:,} {one}{'' if n == 1 else 's'}"
