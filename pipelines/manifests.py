"""Lhotse and NeMo manifests as catalogues.

Neither format can say that nobody else is heard: `complete` (like `grant_ids` and `collected_at`) is read from NeMo's
own extra keys and from Lhotse's `custom`, and is false without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipelines.catalogue_formats import Values, read_rows
from pipelines.manifest_lhotse import cut_rows, recording_rows
from pipelines.manifest_nemo import nemo_rows
from schemas.errors import ConfigError

_JSON = (".jsonl", ".json", ".ndjson")
_CUTS = ("MonoCut", "MultiCut", "MixedCut", "PaddingCut")

Reader = Callable[[str], Iterator[tuple[int, Values]]]


def manifest_reader(uri: str) -> Reader | None:
    """What reads the manifest at `uri`, by its first line; None when it is no manifest but a table."""
    if not uri.lower().removesuffix(".gz").endswith(_JSON):
        return None
    first = next(iter(read_rows(uri)))[1]
    if "audio_filepath" in first:
        return nemo_rows
    if first.get("type") in _CUTS:
        return cut_rows
    if "sources" in first and "sampling_rate" in first:
        return recording_rows
    if {"recording_id", "start", "duration"} <= first.keys():
        raise ConfigError(
            f"{uri}: holds supervisions; give the recordings manifest, whose supervisions are found beside it"
        )
    return None
