"""The certificate of an erasure: what went, from where to where, what stays and why, and when.

`certificates/<number>.<generation>.json` in the ledger's root holds it with its signature, and the page beside it says
the same to a person. Generation 0 is provisional: it is what the erasure says of itself. Generation 1 is final, and
says which scan has passed it (`final`). A certificate names nobody but by pseudonym, no path of a source and no key.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from pydantic import Field

from lake import layout
from lake.lake import Lake
from lake.storage import Missing
from pipelines.erase.page import page
from pipelines.erase.signing import Signature, sign
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.instants import Instant
from schemas.model import Frozen, parse
from schemas.records import FORMAT_VERSION

PROVISIONAL, FINAL = "provisional", "final"
_FIRST = re.compile(r"certificates/(\d+)\.0\.json")


class Digests(Frozen):
    """A unit before and after."""

    run_id: str
    unit_id: str
    generation: int
    replaced_generation: int
    sha256_before: tuple[str, ...]
    """Of the objects that its commit named; those that are not in `sha256_after` are deleted."""
    sha256_after: tuple[str, ...]


class ReplacedRelease(Frozen):
    """A release in which somebody was heard who is erased."""

    name: str
    version: int
    sha256: str
    by: int | None
    """The version that stands in for it; None where nothing was left."""


class Remaining(Frozen):
    """Something that stays."""

    what: str
    count: int
    why: str
    where: tuple[str, ...] = ()
    recoverable_until: Instant | None = None
    """When the store gives it up by itself; None: it does not say, or it is not about that."""


class Copy(Frozen):
    """Somebody opened a release in which they were heard, or trained on it: whom to tell."""

    release: str
    what: str
    owner: str
    at: Instant
    position: int


class Proof(Frozen):
    """The scan that passed it: every byte of these roots, as they were listed, held nothing of what was sealed."""

    report: str
    """Where the scan's report lies, within the ledger's root."""
    report_sha256: str
    sealed_at: Instant
    """When what it looked for was collected: before the erasure began."""
    listed_at: Instant
    """The first listing: what it proves, it proves of what was there then."""
    roots: tuple[str, ...]
    objects: int
    size_bytes: int
    unpacked_bytes: int
    sound_s: float
    looked_for: dict[str, int]
    """How many of each kind."""
    not_searched: dict[str, int]
    """How many words and sounds were left out, and why."""
    expected: int
    """Places within the ledger at which something was found that is left on purpose."""


class Clocks(Frozen):
    """Denied, purged, notified, proved."""

    denied_at: dict[str, Instant]
    """When each withdrew: from then on everything was denied."""
    began_at: Instant
    purged_at: Instant
    notified_at: Instant | None = None
    proved_at: Instant | None = None


class Certificate(Frozen):
    """What an erasure certifies."""

    format_version: int = FORMAT_VERSION
    number: int
    generation: int = 0
    status: str = PROVISIONAL
    lake: str
    ledger: str
    subjects: tuple[str, ...]
    raw: bool = False
    """Whether raw sources were to go, too."""
    clocks: Clocks
    looks: int
    recordings: int
    """Recordings in which they were heard, however often they were prepared."""
    sources_erased: int
    """Sources of the runs' accounts that count as erased now and did not before."""
    utterances_erased: int
    units: tuple[Digests, ...] = ()
    releases: tuple[ReplacedRelease, ...] = ()
    objects_swept: int
    """Objects that the looks deleted; where one was broken off, those that were left for who went on."""
    bytes_swept: int
    suppressed: int = Field(ge=0)
    """Entries of the suppression list."""
    exceptions: tuple[Remaining, ...] = ()
    copies: tuple[Copy, ...] = ()
    proof: Proof | None = None
    """None while it is provisional."""

    def text(self) -> bytes:
        """Canonical JSON: what is signed."""
        return canonical(self.model_dump(mode="json"))


def canonical(content: Any) -> bytes:
    """Keys sorted, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Signed(Frozen):
    """The file: a certificate, and who says so; None where no key was configured."""

    certificate: Certificate
    signature: Signature | None = None


def issue(lake: Lake, certificate: Certificate) -> tuple[str, Signed]:
    """Signs the certificate if a key is configured, and stores it with its page; its URI, and what holds: this, or what
    whoever came first had stored."""
    root = lake.ledger().root
    path = layout.certificate_path(certificate.number, certificate.generation)
    signed = Signed(certificate=certificate, signature=sign(certificate.text()))
    try:
        root.create(path, signed.model_dump_json(indent=1).encode())
    except AlreadyExists:
        signed = read_certificate(lake, certificate.number, certificate.generation)
    with suppress(AlreadyExists):
        shown = page(signed.certificate.model_dump(mode="json"), signed.signature)
        root.create(layout.certificate_path(certificate.number, certificate.generation, "html"), shown)
    return root.uri_of(path), signed


def read_certificate(lake: Lake, number: int, generation: int = 0) -> Signed:
    """A certificate as stored. Raises Missing, and LakeError where it is none."""
    root = lake.ledger().root
    path = layout.certificate_path(number, generation)
    try:
        return parse(Signed, json.loads(root.read(path)), root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{root.uri_of(path)} is not a certificate: {error}") from None


def newest_certificate(lake: Lake, number: int) -> Signed:
    """The final one if there is one, else the provisional one. Raises Missing where there is neither."""
    try:
        return read_certificate(lake, number, 1)
    except Missing:
        return read_certificate(lake, number)


def certificates(lake: Lake) -> list[Certificate]:
    """Every certificate of this lake as it was first issued, by number."""
    root = lake.ledger().root
    found = (_FIRST.fullmatch(info.path) for info in root.list("certificates"))
    every = [read_certificate(lake, number).certificate for number in sorted(int(one[1]) for one in found if one)]
    return [one for one in every if one.lake == lake.root.uri]
