"""An inventory instead of a listing: a table of path, version and size, such as the stores themselves write nightly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.catalogue_formats import place, read_rows
from pipelines.listing import Found
from schemas.errors import ConfigError
from schemas.model import nearest

_NEEDED = ("path", "version", "size")


def read_inventory(table: str, root: str, root_uri: str, *, is_shared: bool = False) -> Iterator[Found]:
    """Objects of `root` in the table at `table`; rows of another root are passed over, other columns left alone.

    A path is relative to the root, or a URI below `root_uri`. Where several roots share a table (`is_shared`), each row
    says which is its own. Raises ConfigError naming file, line and column.
    """
    for number, values in read_rows(table):
        missing = [column for column in _NEEDED if column not in values]
        if missing:
            raise ConfigError(f"{place(table, number, missing[0])}: has no value{nearest(missing[0], values)}")
        path = str(values["path"])
        is_whole = "://" in path or path.startswith("/")
        if is_shared and not is_whole and "root" not in values:
            raise ConfigError(f"{place(table, number, 'root')}: has no value, and there are several source roots")
        if not is_whole and values.get("root", root) != root:
            continue
        try:
            inside = _below(path, root_uri) if is_whole else _within(path)
            if inside is not None:
                yield Found(inside, str(values["version"]), _size(values["size"]))
        except ValueError as error:
            raise ConfigError(f"{place(table, number)}: {error}") from None


def _below(uri: str, root_uri: str) -> str | None:
    folder = root_uri.rstrip("/") + "/"
    return _within(uri.removeprefix(folder)) if uri.startswith(folder) else None


def _within(path: str) -> str:
    if ".." in path and ".." in path.split("/"):
        raise ValueError(f"path {path!r} leaves its root")
    return path.removeprefix("./")


def _size(value: Any) -> int:
    try:
        size = int(value)
    except (TypeError, ValueError):
        size = -1
    if size < 0:
        raise ValueError(f"size {value!r} is no number of bytes")
    return size
