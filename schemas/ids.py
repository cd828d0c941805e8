"""Names that are computed, never chosen: the same thing has the same id on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def _digest(parts: Iterable[str], size_bytes: int) -> str:
    digest = hashlib.blake2b(digest_size=size_bytes)
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        # Length first: ("ab", "c") and ("a", "bc") must not meet.
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def recording_id(source_root: str, source_path: str, source_version: str) -> str:
    """128-bit BLAKE2b of root name, path within the root and version, as 32 hex digits.

    >>> recording_id("podcasts", "a/b.mp3", "17-4")
    '712e111405dd8ee01a209f6d1f236e56'
    """
    return _digest((source_root, source_path, source_version), 16)


def source_id(source_root: str, source_path: str) -> str:
    """128-bit BLAKE2b of root name and path, in any version, as 32 hex digits: names a source where its path must not
    stand.

    >>> source_id("podcasts", "a/b.mp3")
    '4fcbc2697bc9fc4a3757aedfc9553a5d'
    """
    return _digest((source_root, source_path), 16)


def unit_id(index: int, recording_ids: Iterable[str]) -> str:
    """`{index:07d}-{12 hex over its recording ids}`: its place in the plan, and what it holds."""
    return f"{index:07d}-{_digest(recording_ids, 6)}"


def utterance_key(
    recording: str, channel: int, start_sample: int, end_sample: int, speaker: str | None = None, derivation: str = ""
) -> str:
    """The utterance's name, zero-padded so that text order is time order. No dot: WebDataset splits names there.

    >>> utterance_key("ab" * 16, 0, 16000, 48000, "spk01")
    'abababababababababababababababab-c0-000000016000-000000048000-spk01'
    """
    tail = "".join(f"-{part}" for part in (speaker, derivation) if part)
    return f"{recording}-c{channel}-{start_sample:012d}-{end_sample:012d}{tail}"
