"""Source roots, and what lies in them: every object is a source, or is counted as ignored with its cause."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import Field, field_validator

from pipelines.estimate import BYTES_PER_S
from pipelines.globs import folder_matcher, matcher, to_regex
from pipelines.inventory import read_inventory
from pipelines.listing import Found, find_one, walk
from schemas.errors import ConfigError
from schemas.model import Frozen
from schemas.source import Source

AUDIO_EXTENSIONS = tuple(BYTES_PER_S)
"""What the two readers open between them; films count, for they hold speech."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALIASES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}
_EXAMPLES = 5


class SourcesConfig(Frozen):
    """Which objects of a root are sources."""

    include: tuple[str, ...] = Field(
        default=tuple(f"*.{extension}" for extension in AUDIO_EXTENSIONS),
        min_length=1,
        description="globs over the path within the root, upper and lower case alike; a glob without `/` fits file "
        "names at any depth, `**` is any number of folders, `**` alone is everything",
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="globs, as for include; what they fit is ignored, and `folder/**` is not even listed"
    )
    hidden: bool = Field(
        default=False, description="take files whose name, or a folder's above them, begins with a dot"
    )
    inventory: str | None = Field(
        default=None,
        description="CSV or Parquet file with columns path, version and size (and root, where there are several "
        "roots) that is read instead of listing the roots",
    )

    @field_validator("include", "exclude")
    @classmethod
    def _are_globs(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for pattern in patterns:
                re.compile(to_regex(pattern))
        except (ConfigError, re.error) as error:
            raise ValueError(str(error)) from None
        return patterns


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """A named folder or bucket prefix, its URI in canonical spelling. `only` holds the one file that a command line
    named, relative to `uri`."""

    name: str
    uri: str
    only: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"source root name {self.name!r}: letters, digits, dot, dash and underscore, 64 at most, "
                "beginning with a letter or a digit"
            )
        object.__setattr__(self, "uri", canonical_uri(self.uri))


class Ignored:
    """Counts, by cause, what was listed and is no source, with a few names of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, cause: str, path: str) -> None:
        self.counts[cause] += 1
        shown = self.examples.setdefault(cause, [])
        if len(shown) < _EXAMPLES:
            shown.append(path)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def parse_source(text: str) -> SourceRoot:
    """`[NAME=]URI` of a command line as a root. The default name is the URI's base name and 8 hex of the URI.

    A single file stands for its folder with only that file in it. `=` inside a path is safe after a `/`: write
    `./year=2024` for a folder of that name.
    """
    name, separator, rest = text.partition("=")
    if not separator or "/" in name:
        name, rest = "", text
    if not rest:
        raise ConfigError(f"--source {text!r}: write [NAME=]URI, a folder or a bucket prefix")
    uri, only = _split_file(rest)
    return SourceRoot(name or default_name(uri), uri, only)


def canonical_uri(uri: str) -> str:
    """One spelling per place: an absolute path for this machine's disk, else the URI without its last slash."""
    protocol, separator, rest = uri.partition("://")
    if not separator:
        return os.path.abspath(os.path.expanduser(uri))
    if protocol == "file":
        return os.path.abspath("/" + rest.lstrip("/"))
    return f"{_ALIASES.get(protocol, protocol)}://{rest.rstrip('/')}"


def default_name(uri: str) -> str:
    """Base name and 8 hex of the URI: two roots called `audio` stay two."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(uri.partition("://")[2] or uri).name).strip(".-_")
    return f"{base[:50] or 'root'}-{hashlib.sha256(uri.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _split_file(text: str) -> tuple[str, str | None]:
    uri = canonical_uri(text)
    if "://" in uri:
        # No request is made for this: a bucket prefix that looks like a file is told apart by a slash at its end.
        is_file = not text.endswith("/") and matcher(SourcesConfig().include)(uri.rpartition("/")[2])
    else:
        is_file = os.path.isfile(uri)
    folder, _, name = uri.rpartition("/")
    return (folder or "/", name) if is_file else (uri, None)


def list_sources(
    root: SourceRoot,
    config: SourcesConfig,
    ignored: Ignored | None = None,
    skip: Sequence[str] = (),
    *,
    is_one_of_several: bool = False,
) -> Iterator[Source]:
    """Sources of `root`, in the store's own order and in bounded memory; the rest is added to `ignored`.

    `skip` are URIs, a lake or a ledger within the root, whose objects are no sources. `is_one_of_several`: an inventory
    must say of each row which root it means. Raises ConfigError, naming the URI and what to do, when the root cannot be
    read.
    """
    ignored = ignored if ignored is not None else Ignored()
    outside = [canonical_uri(uri) for uri in skip if uri]
    judge = _judge(root, config, outside)
    for found in _found(root, config, outside, is_one_of_several):
        cause = found.ignored_as or judge(found.path)
        if cause is None:
            yield Source(root.name, found.path, found.version, found.size_bytes)
        else:
            ignored.add(cause, found.path)


def check_readable(root: SourceRoot, config: SourcesConfig) -> None:
    """Raises ConfigError when nothing can be listed there. Asks for the first object only."""
    next(iter(_found(root, config, (), False)), None)


def _found(root: SourceRoot, config: SourcesConfig, outside: Sequence[str], is_shared: bool) -> Iterator[Found]:
    if config.inventory is not None:
        return read_inventory(config.inventory, root.name, root.uri, is_shared=is_shared)
    if root.only is not None:
        return find_one(root.uri, root.only)
    return walk(root.uri, _pruning(config), outside)


def _judge(root: SourceRoot, config: SourcesConfig, outside: Sequence[str]) -> Callable[[str], str | None]:
    """Why a path is no source, or None. A file that was named is one, whatever the globs say."""
    included, excluded = matcher(config.include), matcher(config.exclude)
    base = root.uri.rstrip("/") + "/"
    lakes = tuple(uri.removeprefix(base) + "/" for uri in outside if uri.startswith(base))

    def cause(path: str) -> str | None:
        if root.only is not None:
            return None if path == root.only else "not_named"
        if path.startswith(lakes):
            return "lake"
        if not config.hidden and is_hidden(path):
            return "hidden"
        if excluded(path):
            return "excluded"
        return None if included(path) else "not_included"

    return cause


def _pruning(config: SourcesConfig) -> Callable[[str], str | None]:
    """Why a folder need not be looked into, or None."""
    covered = folder_matcher(config.exclude)

    def cause(folder: str) -> str | None:
        if not config.hidden and is_hidden(folder):
            return "hidden"
        return "excluded" if covered(folder) else None

    return cause


def is_hidden(path: str) -> bool:
    """Some part of the path begins with a dot."""
    return path.startswith(".") or "/." in path


def stat_source(root: SourceRoot, path: str) -> Source | None:
    """The source as the store has it now, None when it is gone: has it changed since it was planned?"""
    for found in find_one(root.uri, path, missing_ok=True):
        return Source(root.name, found.path, found.version, found.size_bytes)
    return None
