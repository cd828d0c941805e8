"""An inventory instead of a listing: a table of path, version and size, such as the stores themselves write nightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.catalogue_formats import Values, place
from pipelines.csv_columns import Columns, read_columns
from pipelines.glob_columns import holds, truths
from schemas.errors import ConfigError
from schemas.model import nearest

if TYPE_CHECKING:
    import pyarrow as pa

_NEEDED = ("path", "version", "size")
_MOST_BYTES = 2**63


@dataclass(frozen=True, slots=True)
class ListedColumns:
    """Objects of one root in the order of their listing: paths within the root, versions, sizes in bytes."""

    path: pa.Array
    version: pa.Array
    size: pa.Array


def columns_of(paths: list[str], versions: list[str], sizes: list[int]) -> ListedColumns:
    """Rows as columns."""
    import pyarrow as pa

    return ListedColumns(pa.array(paths, pa.string()), pa.array(versions, pa.string()), pa.array(sizes, pa.int64()))


def read_inventory(table: str, root: str, root_uri: str, *, is_shared: bool = False) -> Iterator[ListedColumns]:
    """Objects of `root` in the table at `table`; rows of another root are passed over, other columns left alone.

    A path is relative to the root, or a URI below `root_uri`. Where several roots share a table (`is_shared`), each row
    says which is its own. Raises ConfigError naming file, line and column.
    """
    for piece in read_columns(table):
        found = _plain(piece, root, root_uri, is_shared) if isinstance(piece, Columns) else None
        if found is None:
            rows = [_row(table, number, values, root, root_uri, is_shared) for number, values in piece.rows()]
            kept = [row for row in rows if row is not None]
            found = columns_of([row[0] for row in kept], [row[1] for row in kept], [row[2] for row in kept])
        yield found


def _plain(piece: Columns, root: str, root_uri: str, is_shared: bool) -> ListedColumns | None:
    """A piece in which every row is what most are; None where one needs to be looked at by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = piece.table
    wanted = [*_NEEDED, "root"] if "root" in table.column_names else list(_NEEDED)
    if any(table.column_names.count(name) != 1 for name in wanted):
        return None
    columns = {name: _text(table[name].combine_chunks()) for name in wanted}
    for name, column in columns.items():
        may_be_number = name in ("size", "version") and pa.types.is_integer(column.type)
        if column.null_count or not (pa.types.is_string(column.type) or may_be_number):
            return None
    path, version, size = columns["path"], columns["version"].cast(pa.string()), _sizes(columns["size"])
    empty = pc.or_(pc.equal(path, ""), pc.equal(version, ""))
    if size is None or pc.any(empty).as_py():
        return None
    places = _places(path, root_uri, columns.get("root"), root, is_shared)
    if places is None:
        return None
    path, kept = places
    if kept is None:
        return ListedColumns(path, version, size)
    return ListedColumns(path.filter(kept), version.filter(kept), size.filter(kept))


def _text(column: pa.Array) -> pa.Array:
    """Text as Arrow's plain strings, however a file stores it."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_string(kind)
    return column.cast(pa.string()) if is_text else column


def _sizes(column: pa.Array) -> pa.Array | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        if not pc.all(pc.match_substring_regex(column, "^[0-9]{1,18}$")).as_py():
            return None
        # `$` fits before a line end too, which then is no digit.
        return column.cast(pa.int64()) if not holds(column, "\n").any() else None
    try:
        sizes = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return sizes if len(sizes) == 0 or pc.min(sizes).as_py() >= 0 else None


def _places(
    path: pa.Array, root_uri: str, roots: pa.Array | None, root: str, is_shared: bool
) -> tuple[pa.Array, pa.Array | None] | None:
    """Paths within the root, and which rows are the root's (None: all); None where one must be looked at by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if holds(path, "..").any():
        return None
    is_whole = holds(path, "://") | truths(pc.starts_with(path, "/"))
    some_whole = is_whole.any()
    if some_whole and not is_whole.all():
        return None
    kept: pa.Array | None = None
    if some_whole:
        folder = root_uri.rstrip("/") + "/"
        kept = pc.starts_with(path, folder)
        path = pc.if_else(kept, pc.utf8_slice_codeunits(path, len(folder)), path)
    elif roots is not None:
        if is_shared and pc.any(pc.equal(roots, "")).as_py():
            return None
        kept = pc.or_(pc.equal(roots, root), pc.equal(roots, ""))
    elif is_shared:
        return None
    if pc.any(pc.starts_with(path, "./")).as_py():
        path = pa.array([text.removeprefix("./") for text in path.to_pylist()], pa.string())
    return path, kept


def _row(
    table: str, number: int, values: Values, root: str, root_uri: str, is_shared: bool
) -> tuple[str, str, int] | None:
    """Path, version and size of one row; None where it is another root's."""
    missing = [column for column in _NEEDED if column not in values]
    if missing:
        raise ConfigError(f"{place(table, number, missing[0])}: has no value{nearest(missing[0], values)}")
    path = str(values["path"])
    is_whole = "://" in path or path.startswith("/")
    if is_shared and not is_whole and "root" not in values:
        raise ConfigError(f"{place(table, number, 'root')}: has no value, and there are several source roots")
    if not is_whole and values.get("root", root) != root:
        return None
    try:
        inside = _below(path, root_uri) if is_whole else _within(path)
        return None if inside is None else (inside, str(values["version"]), _size(values["size"]))
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
    except (TypeError, ValueError, OverflowError):
        size = -1
    if not 0 <= size < _MOST_BYTES:
        raise ValueError(f"size {value!r} is no number of bytes")
    return size
