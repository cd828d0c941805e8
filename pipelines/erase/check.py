"""`check_certificates`: whether what certificates say still holds, months or years later.

It asks the lake as it is now: are the new generations there, are the old objects gone, does anything name these people
again. Nothing is repaired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from lake import layout
from lake.lake import Lake
from lake.storage import Missing
from pipelines.erase.certificate import (
    FINAL,
    Certificate,
    canonical,
    certificates,
    newest_certificate,
    read_certificate,
)
from pipelines.erase.check_lake import (
    Again,
    check_ledger,
    check_nothing_left,
    check_releases,
    check_units,
    missing_certificates,
    named_again,
)
from pipelines.erase.signing import Signature, is_signed, public_key_at
from pipelines.findings import Finding
from schemas.errors import ConfigError
from schemas.instants import to_text

_ADDED = {"generation", "status", "clocks", "proof"}
"""What a final certificate says in another way than the provisional one."""


def check_certificates(
    lake: Lake, number: int | None, key_uri: str | None = None, *, reads_bytes: bool = False
) -> Iterator[Finding]:
    """Findings about one certificate, or all of the lake. `key_uri`: the public key with which each must be signed;
    `reads_bytes`: new objects are read to the byte, not only looked for. Raises ConfigError for a number that there is
    not, or a key that is none."""
    key = public_key_at(key_uri) if key_uri is not None else None
    every = certificates(lake)
    known = [one.number for one in every]
    if number is not None and number not in known:
        have = f"; it has {', '.join(map(str, known))}" if known else ""
        raise ConfigError(f"{lake.root.uri} has no certificate {number}{have}")
    if number is None:
        yield from (Finding("ledger", f"{path}, which it names, is gone", False) for path in missing_certificates(lake))
    wanted = [one for one in every if number in (None, one.number)]
    if not wanted:
        return
    again = named_again(lake, (subject for one in wanted for subject in one.subjects))
    for one in wanted:
        yield from _check(lake, one.number, again, key, reads_bytes)


def _check(lake: Lake, number: int, again: Again, key: str | None, reads_bytes: bool) -> Iterator[Finding]:
    about, said = f"certificate {number}", newest_certificate(lake, number).certificate
    for generation in range(said.generation + 1):
        yield _signature(lake, number, generation, key)
    yield from _proof(lake, said)
    checks = (
        check_units(lake, said, reads_bytes), check_releases(lake, said), check_ledger(lake, said),
        check_nothing_left(said, again),
    )  # fmt: skip
    yield from (Finding(about, words, holds) for check in checks for words, holds in check)
    for one in said.exceptions:
        if one.recoverable_until is not None:
            yield Finding(about, f"{one.count:,} {one.what}: recoverable until {to_text(one.recoverable_until)}")


def _signature(lake: Lake, number: int, generation: int, key: str | None) -> Finding:
    """Over what is stored, whatever this version of the program would make of it."""
    about = f"certificate {number}, {FINAL if generation else 'provisional'}"
    signature = read_certificate(lake, number, generation).signature
    stored = json.loads(lake.ledger().root.read(layout.certificate_path(number, generation)))
    if (stored["certificate"]["number"], stored["certificate"]["generation"]) != (number, generation):
        return Finding(about, "it bears the number of another", holds=False)
    if signature is None:
        return Finding(about, "it is not signed", holds=key is None)
    return _signed(about, canonical(stored["certificate"]), signature, key)


def _signed(about: str, text: bytes, signature: Signature, key: str | None) -> Finding:
    if not is_signed(text, signature):
        return Finding(about, "its signature is not one over what it says", holds=False)
    if key is None:
        return Finding(about, f"signed, by the key {signature.public_key}; --key FILE tells whether that is yours")
    if signature.public_key != key:
        return Finding(about, f"signed, by the key {signature.public_key}, and not by {key}", holds=False)
    return Finding(about, "signed, by the key that was given")


def _proof(lake: Lake, said: Certificate) -> Iterator[Finding]:
    """Whether a final certificate says what the provisional one said, and its scan's report is there."""
    about, proof = f"certificate {said.number}", said.proof
    if said.status != FINAL or proof is None:
        yield Finding(about, "provisional: no scan has passed it yet", holds=said.status != FINAL)
        return
    first = read_certificate(lake, said.number).certificate
    if said.model_dump(exclude=_ADDED) != first.model_dump(exclude=_ADDED):
        yield Finding(about, "the final one says another thing than the provisional one", holds=False)
    root = lake.ledger().root
    try:
        report = root.read(proof.report)
    except Missing:
        yield Finding(about, f"the report of its scan is gone: {root.uri_of(proof.report)}", holds=False)
        return
    is_same = hashlib.sha256(report).hexdigest() == proof.report_sha256
    when = to_text(proof.listed_at)
    yield Finding(
        about,
        f"final: a scan of {when} over {proof.objects:,} objects, {proof.size_bytes:,} bytes"
        if is_same and _passed(report)
        else f"the report of its scan, {root.uri_of(proof.report)}, is not the one that passed it",
        holds=is_same and _passed(report),
    )


def _passed(report: bytes) -> bool:
    """Nothing found but what is expected, everything opened, by every detector, for what was looked for as it is."""
    try:
        said = json.loads(report)
        found = [hit for hit in said["hits"] if not hit["is_expected"]]
        return not (found or said["not_opened"] or said["without"] or said["is_keyed"])
    except (ValueError, KeyError, TypeError):
        return False
