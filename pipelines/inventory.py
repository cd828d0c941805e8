"""An inventory instead of a listing: a table of path, version and size, such as the stores themselves write nightly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.catalogue_formats import Values, place, read_rows
from pipelines.listing import Found
from schemas.errors import ConfigError
from schemas.model import nearest

_NEEDED = ("path", "version", "size")


def read_inventory(table: str, root: str, root_uri: str) -> Iterator[Found]:
    """Objects of `root` in the table at `table`; rows of another root are passed over, other columns left alone.

    A path is relative to the root, or a URI below `root_uri`. Raises ConfigError naming file, line and column.
    """
    for number, values in read_rows(table):
        named = values.get("root", root)
        if named != root:
            continue
        missing = [column for column in _NEEDED if column not in values]
        if missing:
            hint = nearest(missing[0], values) if missing[0] not in values else ""
            raise ConfigError(f"{place(table, number, missing[0])}: has no value{hint}")
        path = _relative(values, root_uri, place(table, number, "path"))
        if path is not None:
            yield Found(path, str(values["version"]), _size(values["size"], place(table, number, "size")))


def _relative(values: Values, root_uri: str, where: str) -> str | None:
    path = str(values["path"])
    if "://" in path or path.startswith("/"):
        below = root_uri.rstrip("/") + "/"
        return path.removeprefix(below) if path.startswith(below) else None
    if ".." in path.split("/"):
        raise ConfigError(f"{where}: {path!r} leaves its root")
    return path.removeprefix("./")


def _size(value: Any, where: str) -> int:
    try:
        size = int(value)
    except (TypeError, ValueError):
        size = -1
    if size < 0:
        raise ConfigError(f"{where}: {value!r} is no number of bytes")
    return size
