"""`scan(root, needles)`: every byte below a lake, its ledger, and wherever else, searched for what should be gone.

It reads `lake.0.json` to learn where the ledger lies, and knows nothing else of a lake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lake.local_create import is_unfinished
from lake.storage import Missing, Root
from pipelines.verify.needles import Kind, Needles
from pipelines.verify.places import Place, content_of, places
from pipelines.verify.report import Hit, NotOpened, ScanReport, merged
from pipelines.verify.walk import DETECTORS, Seen, Walker, not_opened
from schemas.errors import ConfigError, LakeError

_HEAD = "lake.0.json"
LISTINGS = 5
_PSEUDONYMS = frozenset({Kind.SUBJECT, Kind.GRANT})
_EVENTS = frozenset({*_PSEUDONYMS, Kind.PATH, Kind.DIGEST})

EXPECTED: tuple[tuple[str, frozenset[Kind]], ...] = (
    ("log/", _EVENTS),
    ("projection/", _EVENTS),
    ("audit/", _PSEUDONYMS),
    ("certificates/", _PSEUDONYMS),
    ("notices/", _PSEUDONYMS),
)
"""Within the ledger's root: what an erasure leaves on purpose, by pseudonym. Events about the catalogue name paths and
digests, too. No text, no key and no voice is expected anywhere."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Below this URI needles of these kinds are reported as expected."""

    prefix: str
    kinds: frozenset[Kind] = _PSEUDONYMS


@dataclass(frozen=True, slots=True)
class Target:
    """An object, and the root it lies in."""

    root: Root
    place: Place

    @property
    def uri(self) -> str:
        return self.root.uri_of(self.place.path)


def scan(
    root: Root, needles: Needles, also: Iterable[Root] = (), expectations: Sequence[Expectation] = (),
    without: Collection[str] = (), report: Callable[[int, int], None] = lambda _objects, _bytes: None,
) -> ScanReport:  # fmt: skip
    """Looks for `needles` in everything below a lake's root and its ledger's, and `also` elsewhere, in this process.

    What goes away before it is looked at may lie elsewhere by now (a file that got its name): so the roots are listed
    again until nothing does, five times at most. `without` switches detectors off, for tests. Raises ConfigError where
    `root` is no lake, LakeError where the store will not list what it holds, or does not answer.
    `pipelines.verify.listings` does the same on any engine.
    """
    listed_at = datetime.now(UTC)
    off = frozenset(without)
    if unknown := off - set(DETECTORS):
        raise ConfigError(f"there is no detector {', '.join(sorted(unknown))}; detectors: {', '.join(DETECTORS)}")
    roots, expected = surroundings(root, also, expectations)
    walker = Walker(needles, off)
    parts: list[ScanReport] = []
    known: set[int] = set()
    done = 0
    last: list[ScanReport] = []
    for _ in range(LISTINGS):
        last = []
        for target in targets(roots, off, known):
            last.append(look_at(walker, target, expected, off))
            known.add(target.place.hashed(target.root))
            done += last[-1].size_bytes
            report(len(parts) + len(last), done)
        parts += last
        gone = {one for part in last for one in part.gone}
        known -= gone
        if not gone:
            break
    return folded([*parts, *still_moving(last, roots)], roots, needles, off, listed_at)


def still_moving(last: Iterable[ScanReport], roots: Sequence[Root]) -> Iterator[ScanReport]:
    """What is said where even in the `last` listing objects went away: what was in them may lie elsewhere by now.

    A file that a writer has not finished is no sign of that: in the last listing, it was begun after the first.
    """
    count = sum(part.vanished_named for part in last)
    if count:
        reason = f"{count} objects went away before they were looked at, in each of {LISTINGS} listings; scan once more"
        yield ScanReport(not_opened=(NotOpened(object=roots[0].uri, reason=reason),))


def folded(
    parts: Iterable[ScanReport], roots: Sequence[Root], needles: Needles, without: frozenset[str], listed_at: datetime
) -> ScanReport:
    """The parts as the report of the whole."""
    wall_s = (datetime.now(UTC) - listed_at).total_seconds()
    return merged(
        parts, roots=tuple(root.uri for root in roots), is_keyed=needles.is_keyed, looked_for=needles.kinds,
        not_searched=needles.not_searched, without=tuple(sorted(without)), gone=(), listed_at=listed_at,
        wall_s=round(wall_s, 3),
    )  # fmt: skip


def surroundings(
    root: Root, also: Iterable[Root] = (), expectations: Sequence[Expectation] = ()
) -> tuple[list[Root], list[Expectation]]:
    """The roots to look through, none of them within another, and what is expected where."""
    ledger = ledger_root(root)
    found = [root, ledger, *also]
    roots = [one for n, one in enumerate(found) if not any(_holds(other, one) for other in found[:n])]
    own = [Expectation(ledger.uri_of(folder), kinds) for folder, kinds in EXPECTED]
    return roots, [*own, *expectations]


def ledger_root(root: Root) -> Root:
    """Where the lake's head says that its ledger lies."""
    try:
        ledger = str(json.loads(root.read(_HEAD))["ledger"])
    except Missing:
        raise ConfigError(f"{root.uri} is not a lake (it has no {_HEAD})") from None
    except (ValueError, KeyError, TypeError):
        raise LakeError(f"{root.uri_of(_HEAD)} does not say where the ledger lies") from None
    return Root(ledger if "://" in ledger or ledger.startswith("/") else root.uri_of(ledger))


def _holds(outer: Root, inner: Root) -> bool:
    return f"{inner.uri}/".startswith(f"{outer.uri}/")


def targets(
    roots: Iterable[Root], without: frozenset[str] = frozenset(), known: Collection[int] = ()
) -> Iterator[Target]:
    """Everything that these roots hold, but the places in `known`."""
    for root in roots:
        yield from (
            Target(root, place) for place in places(root, without) if not known or place.hashed(root) not in known
        )


def look_at(
    walker: Walker, target: Target, expectations: Sequence[Expectation], without: frozenset[str] = frozenset(),
    *, words_only: bool = False,
) -> ScanReport:  # fmt: skip
    """One object, or one version of it: its name, and every byte."""
    place, uri = target.place, target.uri
    shown = target.root.uri_of(walker.redacted(place.path))
    about = {"object": shown, "state": place.state, "version": place.version}
    hits = [
        Hit(**about, inside="name", offset=at, kind=str(one.kind), label=one.label, encoding=one.encoding)
        for at, one in walker.name(place.path)
        if "names" not in without
    ]
    seen, missed, size_bytes = Seen(), [], place.size_bytes
    gone: tuple[int, ...] = ()
    if place.is_readable:
        try:
            with content_of(target.root, place) as content:
                seen = walker.words_only(content) if words_only else walker.look(content)
        except LakeError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                gone = (place.hashed(target.root),)
            elif target.root.is_local or isinstance(error.__cause__, PermissionError):
                missed.append(NotOpened(**about, reason=f"it cannot be read: {walker.redacted(str(error))}"))
            else:
                raise  # a store that does not answer: whoever starts again goes on from here
            size_bytes = 0
    elif place.state != "folder":
        missed.append(NotOpened(**about, reason=f"no store hands out the bytes of what is in state {place.state!r}"))
    hits += [hit.model_copy(update=about) for hit in seen.hits.values()]
    missed += [one.model_copy(update=about) for one in not_opened(shown, seen)]
    marked = [hit.model_copy(update={"is_expected": _is_expected(hit, uri, expectations)}) for hit in hits]
    return ScanReport(
        hits=tuple(marked), not_opened=tuple(missed), objects=int(place.state != "folder"),
        size_bytes=size_bytes, unpacked_bytes=seen.unpacked_bytes, sounds=seen.sounds,
        sound_s=round(seen.sound_s, 3), vanished=len(gone), gone=gone,
        vanished_named=len(gone) * (not is_unfinished(place.path)),
    )  # fmt: skip


def _is_expected(hit: Hit, uri: str, expectations: Sequence[Expectation]) -> bool:
    return any(uri.startswith(one.prefix) and hit.kind in one.kinds for one in expectations)
