"""Source roots, and what lies in them: every object is a source, or is counted as ignored with its cause."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from pipelines.estimate import BYTES_PER_S
from pipelines.glob_columns import column_matcher, holds, truths
from pipelines.globs import folder_matcher, matcher, to_regex
from pipelines.inventory import ListedColumns, columns_of, read_inventory
from pipelines.listing import find_one, walk
from schemas.errors import ConfigError
from schemas.model import Frozen
from schemas.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

AUDIO_EXTENSIONS = tuple(BYTES_PER_S)
"""What the two readers open between them; films count, for they hold speech."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ALIASES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}
_EXAMPLES = 5
_FEW = 128


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

    def add_rows(self, cause: str, paths: pa.Array, rows: np.ndarray) -> None:
        """Adds the `paths` for which `rows` is true."""
        for row in np.flatnonzero(rows)[:_EXAMPLES]:
            self.add(cause, paths[int(row)].as_py())
        if (more := int(np.count_nonzero(rows)) - _EXAMPLES) > 0:
            self.counts[cause] += more

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
    """As `list_columns`, source by source and as soon as each is listed."""
    pieces = list_columns(root, config, ignored, skip, is_one_of_several=is_one_of_several, rows=_FEW)
    for piece in pieces:
        for path, version, size in zip(*(c.to_pylist() for c in (piece.path, piece.version, piece.size)), strict=True):
            yield Source(root.name, path, version, size)


def list_columns(
    root: SourceRoot,
    config: SourcesConfig,
    ignored: Ignored | None = None,
    skip: Sequence[str] = (),
    *,
    is_one_of_several: bool = False,
    rows: int = 20_000,
) -> Iterator[ListedColumns]:
    """Sources of `root`, in the store's own order and in bounded memory; the rest is added to `ignored`.

    `skip` are URIs, a lake or a ledger within the root, whose objects are no sources. `is_one_of_several`: an inventory
    must say of each row which root it means. A listing comes in pieces of up to `rows`, the first ones small. Raises
    ConfigError, naming the URI and what to do, when the root cannot be read.
    """
    import pyarrow as pa

    ignored = ignored if ignored is not None else Ignored()
    outside = [canonical_uri(uri) for uri in skip if uri]
    judge = _judge(root, config, outside)
    for piece in _listed(root, config, outside, is_one_of_several, ignored, rows):
        judged = judge(piece.path)
        taken = np.ones(len(piece.path), bool)
        for cause, mask in judged:
            ignored.add_rows(cause, piece.path, mask & taken)
            taken &= ~mask
        if taken.all():
            yield piece
        else:
            kept = pa.array(taken)
            yield ListedColumns(piece.path.filter(kept), piece.version.filter(kept), piece.size.filter(kept))


def check_readable(root: SourceRoot, config: SourcesConfig) -> None:
    """Raises ConfigError when nothing can be listed there. Asks for the first object only."""
    next(iter(_listed(root, config, (), False, Ignored(), 1)), None)


def _listed(
    root: SourceRoot, config: SourcesConfig, outside: Sequence[str], is_shared: bool, ignored: Ignored, rows: int
) -> Iterator[ListedColumns]:
    if config.inventory is not None:
        yield from read_inventory(config.inventory, root.name, root.uri, is_shared=is_shared)
        return
    found = find_one(root.uri, root.only) if root.only is not None else walk(root.uri, _pruning(config), outside)
    size = 1
    # The first pieces are small: whoever asks whether anything is there has an answer with the first object.
    while piece := list(islice(found, size)):
        size = min(2 * size, rows)
        for each in piece:
            if each.ignored_as is not None:
                ignored.add(each.ignored_as, each.path)
        taken = [each for each in piece if each.ignored_as is None]
        yield columns_of([f.path for f in taken], [f.version for f in taken], [f.size_bytes for f in taken])


def _judge(
    root: SourceRoot, config: SourcesConfig, outside: Sequence[str]
) -> Callable[[pa.Array], list[tuple[str, np.ndarray]]]:
    """Causes, each with the paths that are no sources for it; the first that fits counts.

    A file that was named is a source, whatever the globs say.
    """
    import pyarrow.compute as pc

    included, excluded = column_matcher(config.include), column_matcher(config.exclude)
    base = root.uri.rstrip("/") + "/"
    lakes = tuple(uri.removeprefix(base) + "/" for uri in outside if uri.startswith(base))

    def causes(paths: pa.Array) -> list[tuple[str, np.ndarray]]:
        if root.only is not None:
            return [("not_named", truths(pc.not_equal(paths, root.only)))]
        found = [("lake", truths(pc.starts_with(paths, lake))) for lake in lakes]
        if not config.hidden:
            found.append(("hidden", truths(pc.starts_with(paths, ".")) | holds(paths, "/.")))
        if config.exclude:
            found.append(("excluded", excluded(paths)))
        return [*found, ("not_included", ~included(paths))]

    return causes


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
