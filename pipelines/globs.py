"""Glob patterns over paths within a root: `**` is any number of folders, and a pattern without `/` fits a base name.

Written out because the standard library's own (`glob.translate`) needs Python 3.13 and `fnmatch` lets `*` cross `/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from schemas.errors import ConfigError

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|\{[^{}/]*\}|.", re.DOTALL)

_ENDING = re.compile(r"\*\.[A-Za-z0-9]+")  # `*.wav`, the usual kind, needs no regular expression


def to_regex(pattern: str) -> str:
    """`pattern` as a regular expression for a whole path.

    >>> bool(re.fullmatch(to_regex("*.wav"), "a/b/c.wav")), bool(re.fullmatch(to_regex("a/*.wav"), "a/b/c.wav"))
    (True, False)
    """
    if not pattern or pattern.startswith("/"):
        raise ConfigError(f"glob {pattern!r}: a pattern is relative to the source root and not empty")
    body = pattern.removeprefix("./")
    # As in .gitignore: without a slash it names files, wherever they lie.
    lead = "" if "/" in body or body == "**" else "(?:.*/)?"
    return lead + "".join(_piece(token) for token in _TOKEN.findall(body))


def _piece(token: str) -> str:
    if token == "**/":
        return "(?:.*/)?"
    if token == "**":
        return ".*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) > 1 and token[0] == "{":
        return "(?:" + "|".join(re.escape(choice) for choice in token[1:-1].split(",")) + ")"
    if len(token) > 1:
        inverted = token[1] in "!^"
        listed = token[2:-1] if inverted else token[1:-1]
        escaped = listed.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
        return f"[^/{escaped}]" if inverted else f"[{escaped}]"
    return re.escape(token)


def endings_of(patterns: Sequence[str]) -> tuple[str, ...]:
    """`.wav` of each pattern like `*.wav`, in lower case."""
    return tuple(pattern[1:].lower() for pattern in patterns if _ENDING.fullmatch(pattern))


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Does any of `patterns` fit this path? Upper and lower case are one: recorders write `.WAV`."""
    endings = endings_of(patterns)
    # Without a pattern, something that fits nothing.
    rest = "|".join(f"(?:{to_regex(pattern)})" for pattern in patterns if not _ENDING.fullmatch(pattern)) or "(?!)"
    try:
        fits = re.compile(rest, re.IGNORECASE | re.DOTALL).fullmatch
    except re.error as error:
        raise ConfigError(f"globs {', '.join(patterns)}: {error}") from None
    return lambda path: path.lower().endswith(endings) or fits(path) is not None


def folder_matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Does one of `patterns` cover all that lies below this folder? Then nobody need look into it."""
    covers = matcher([pattern for pattern in patterns if pattern.endswith("/**")])
    return lambda folder: covers(f"{folder}/")
