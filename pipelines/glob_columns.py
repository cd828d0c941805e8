"""Globs over a column of paths: the answers of `globs.matcher`, for a million paths at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.globs import endings_of, matcher, to_regex

if TYPE_CHECKING:
    import pyarrow as pa

_LOOKED_AT, _USUAL = 256, 8
Mask = np.ndarray
"""A truth per row."""


def truths(column: pa.Array) -> Mask:
    """A column of booleans as a mask; what is unknown is not true."""
    mask: Mask = column.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def extensions(paths: pa.Array) -> tuple[np.ndarray, list[str]]:
    """What stands behind each path's last dot, in lower case: a code per path, and the text of each code.

    The whole path where there is no dot.
    """
    import pyarrow.compute as pc

    codes = np.full(len(paths), -1, np.int64)
    usual = {path.rpartition(".")[2] for path in paths.slice(0, _LOOKED_AT).to_pylist() if "." in path}
    texts = sorted(usual) if len(usual) <= _USUAL else []
    for code, text in enumerate(texts):
        codes[truths(pc.ends_with(paths, f".{text}"))] = code
    rest = np.flatnonzero(codes < 0)
    if len(rest):
        found = pc.replace_substring_regex(paths.take(rest), r"(?s)\A.*\.", "").dictionary_encode()
        codes[rest] = found.indices.to_numpy(zero_copy_only=False) + len(texts)
        texts += found.dictionary.to_pylist()
    return codes, [text.lower() for text in texts]


def holds(texts: pa.Array, piece: str) -> Mask:
    """Which texts hold this piece? Where none does, as is usual, all are looked through as one."""
    import pyarrow.compute as pc

    if len(texts) == 0:
        return np.zeros(0, bool)
    first, last = (
        int(end) for end in np.frombuffer(texts.buffers()[1], np.int32)[[texts.offset, texts.offset + len(texts)]]
    )
    data = texts.buffers()[2]
    if data is None or data.slice(first, last - first).to_pybytes().find(piece.encode()) < 0:
        return np.zeros(len(texts), bool)
    return truths(pc.match_substring(texts, piece))


def column_matcher(patterns: Sequence[str]) -> Callable[[pa.Array], Mask]:
    """Which of these paths does any of `patterns` fit? As `matcher`, path by path."""
    by_name = matcher(patterns)
    endings = {ending.removeprefix(".") for ending in endings_of(patterns)}
    others = [pattern for pattern in patterns if not endings_of([pattern])]
    expression = _expression(others)

    def fits(paths: pa.Array) -> Mask:
        codes, texts = extensions(paths)
        known = np.array([text in endings for text in texts], bool)
        # A path without a dot is its own "extension", and `*.wav` does not fit a file called `wav`.
        answer = known[codes] & _has_dot(paths, known, codes) if len(codes) else np.zeros(0, bool)
        if others:
            rest = np.flatnonzero(~answer)
            answer[rest] = _fitted(paths.take(rest), expression, by_name)
        return answer

    return fits


def _has_dot(paths: pa.Array, known: Mask, codes: np.ndarray) -> Mask:
    import pyarrow.compute as pc

    return truths(pc.match_substring(paths, ".")) if known.any() else known[codes]


def _expression(patterns: Sequence[str]) -> str | None:
    """One expression for Arrow's engine; None where it might read them in another way."""
    if not all(pattern.isascii() for pattern in patterns):
        return None
    return r"(?is)\A(?:" + "|".join(f"(?:{to_regex(pattern)})" for pattern in patterns) + r")\z"


def _fitted(paths: pa.Array, expression: str | None, by_name: Callable[[str], bool]) -> Mask:
    import pyarrow as pa
    import pyarrow.compute as pc

    # The two engines fold the case of letters beyond ASCII in ways of their own.
    is_plain = truths(pc.string_is_ascii(paths)).copy()
    answer = np.zeros(len(paths), bool)
    try:
        if expression is None:
            raise pa.ArrowInvalid(expression)
        answer[is_plain] = truths(pc.match_substring_regex(paths.filter(pa.array(is_plain)), expression))
    except pa.ArrowInvalid:
        is_plain[:] = False
    others = np.flatnonzero(~is_plain)
    answer[others] = [by_name(path) for path in paths.take(others).to_pylist()]
    return answer
