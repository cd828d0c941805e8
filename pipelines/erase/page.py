"""A certificate as a page that a person can read, and print: no script, no picture, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from pipelines.erase.signing import Signature

_STYLE = """
body { font: 16px/1.5 Georgia, serif; max-width: 46em; margin: 3em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; }
.note { border-left: 4px solid #c60; padding-left: 1em; }
code { font-size: .85em; word-break: break-all; }
"""
_STATUS = {
    "provisional": "Provisional: this is what the erasure says of itself. A full scan that does not trust it has to "
    "pass: provoice audit scan."
}
_COPIES = "Who opened a release in which they were heard, or trained on it, before. What they keep is out of reach."
_DIGESTS = (
    "Of every object that a rewritten unit named before, and names now. What is in the first list and not in the "
    "second was deleted."
)


def page(certificate: Mapping[str, Any], signature: Signature | None) -> bytes:
    """The certificate's JSON values as HTML."""
    clocks = certificate["clocks"]
    status = _STATUS.get(certificate["status"], "A full scan found nothing of them.")
    parts = [
        f"<h1>Certificate of erasure {certificate['number']:,}</h1>",
        f"<p class=note>{escape(status)}</p>",
        _table(
            [
                ("lake", certificate["lake"]),
                ("people, by pseudonym", ", ".join(certificate["subjects"])),
                *((f"denied: {who} withdrew", at) for who, at in clocks["denied_at"].items()),
                ("erasing began", clocks["began_at"]),
                ("purged", clocks["purged_at"]),
                ("others were notified", clocks["notified_at"] or "not by this erasure"),
                ("proved by a scan", clocks["proved_at"] or "not yet"),
            ]
        ),
        "<h2>What went</h2>",
        _table(
            [
                ("recordings in which they were heard", f"{certificate['recordings']:,}"),
                ("sources erased from the accounts of runs", f"{certificate['sources_erased']:,}"),
                ("utterances erased", f"{certificate['utterances_erased']:,}"),
                ("units written anew", f"{len(certificate['units']):,}"),
                ("objects deleted", f"{certificate['objects_swept']:,} ({certificate['bytes_swept']:,} bytes)"),
                ("entries of the suppression list", f"{certificate['suppressed']:,}"),
                ("looks until nothing was found", f"{certificate['looks']:,}"),
            ]
        ),
        *_releases(certificate["releases"]),
        "<h2>What stays, and why</h2>",
        _table(map(_exception, certificate["exceptions"])),
        *_copies(certificate["copies"]),
        f"<h2>Digests</h2><p>{_DIGESTS}</p>",
        *(_unit(one) for one in certificate["units"]),
        _signed(signature),
    ]
    head = f"<!doctype html><meta charset=utf-8><title>Erasure {certificate['number']}</title><style>{_STYLE}</style>"
    return "\n".join([head, *parts, ""]).encode()


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
    rows = [(f"{one['release']}, {one['at']}", f"{one['owner']}: {one['what']}") for one in copies]
    return ["<h2>Copies that may have left</h2>", f"<p>{_COPIES}</p>", _table(rows)]


def _exception(one: Mapping[str, Any]) -> tuple[str, str]:
    until = f"; recoverable until {one['recoverable_until']}" if one["recoverable_until"] else ""
    where = f" ({', '.join(one['where'][:20])}{', …' if len(one['where']) > 20 else ''})" if one["where"] else ""
    return f"{one['count']:,} {one['what']}", f"{one['why']}{until}{where}"


def _unit(one: Mapping[str, Any]) -> str:
    name = f"{one['run_id']} / {one['unit_id']}, generation {one['replaced_generation']} to {one['generation']}"
    lists = "".join(
        f"<br>{word}: " + (", ".join(f"<code>{escape(sha256)}</code>" for sha256 in one[key]) or "nothing")
        for word, key in (("before", "sha256_before"), ("after", "sha256_after"))
    )
    return f"<p>{escape(name)}{lists}</p>"


def _signed(signature: Signature | None) -> str:
    if signature is None:
        return "<h2>Signature</h2><p>None: no key was configured.</p>"
    key, value = escape(signature.public_key), escape(signature.value)
    said = f"{escape(signature.algorithm)}, public key <code>{key}</code><br><code>{value}</code>"
    return f"<h2>Signature</h2><p>{said}</p>"
