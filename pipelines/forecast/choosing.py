"""How many sources of each stratum are measured, within a share of the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.forecast.settings import SampleConfig
from pipelines.forecast.strata import Key, Population, Stratum

_WORTH_TWO = 0.01
"""A stratum of this share of the audio gets two sources before any other gets a third."""
_FEWEST = 3


def chosen(population: Population, config: SampleConfig) -> dict[Key, list[dict[str, Any]]]:
    """Plan rows to measure, by stratum. The rule:

    - two of each stratum that holds 1 % of the estimated audio, for one alone has no spread;
    - then places go to strata by their estimated audio, a source counting two seconds more;
    - until the sources so chosen are expected to be `share` of the bytes, or `max_audio_s` of audio;
    - but those two, and `min_sources` where there are so many, whatever share of a small set that is, unless three
      sources are `max_audio_s` already.
    """
    counts = _counts(population.strata, population.size_bytes, config)
    return {key: [row for _, row in population.strata[key].candidates[:n]] for key, n in counts.items() if n}


def _counts(strata: Mapping[Key, Stratum], total_bytes: int, config: SampleConfig) -> dict[Key, int]:
    total_s = sum(stratum.load_s for stratum in strata.values()) or 1.0
    counts = dict.fromkeys(sorted(strata), 0)
    expected_bytes = expected_s = 0.0
    chosen_sources = 0
    open_keys = set(counts)
    while open_keys:
        key = max(sorted(open_keys), key=lambda key: _claim(strata[key], counts[key], total_s))
        stratum = strata[key]
        # Judged by the stratum's mean: to judge the next source by its own size would prefer small ones.
        with_it = expected_bytes + stratum.size_bytes / stratum.sources
        needs_two, _ = _claim(stratum, counts[key], total_s)
        fewest = config.min_sources if expected_s < config.max_audio_s else _FEWEST
        is_floor = chosen_sources < fewest or (needs_two and expected_s < config.max_audio_s)
        if not is_floor and (with_it > config.share * total_bytes or expected_s >= config.max_audio_s):
            open_keys.discard(key)
            continue
        counts[key] += 1
        chosen_sources += 1
        expected_bytes = with_it
        expected_s += stratum.estimated_s / stratum.sources
        if counts[key] == len(stratum.candidates):
            open_keys.discard(key)
    return counts


def _claim(stratum: Stratum, count: int, total_s: float) -> tuple[bool, float]:
    share = stratum.load_s / total_s
    return (count < 2 and share >= _WORTH_TWO, share / (count + 1))
