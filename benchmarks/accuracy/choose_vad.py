"""How VAD's operating point was chosen: on meetings, each group left out in turn, and on read speech that may tune.

    python -m benchmarks.accuracy.choose_vad [--write docs/vad.md]

This page reads the side of the split that trains, and every meeting; nothing of it is reported elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import page
from benchmarks.accuracy.result import Table, percent, shown
from benchmarks.accuracy.vad import CLEAN_DB, FRAME, activity, counted, mask, meeting_turns
from benchmarks.corpus import NoAudio
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training import split
from training.recordings import own_snr_db, read
from transforms.silero import open_session, speech_probability
from transforms.vad import VadConfig, gain_db, regions_from_probability

MOST_FALSE = 0.025
GRID: dict[str, tuple[float, ...]] = {
    "on": (0.2, 0.25, 0.3),
    "off": (0.1, 0.15),
    "fill_gap_s": (0.15, 0.3, 0.5),
    "pad_s": (0.07, 0.15, 0.2, 0.25),
    "min_speech_s": (0.15, 0.25),
    "quiet_below_top_db": (35.0, 200.0),
}
FIRST = VadConfig(on=0.3, off=0.15, fill_gap_s=0.15, min_speech_s=0.15, pad_s=0.07, quiet_below_top_db=200)
SILERO = VadConfig(on=0.5, off=0.35, fill_gap_s=0.1, min_speech_s=0.25, pad_s=0.03, quiet_below_top_db=200)

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording as the detector heard it, whose answer is known."""

    group: str
    samples: int
    probability: NDArray[np.float32]
    level_db: NDArray[np.float32]
    truth: NDArray[np.bool_]

    def counts(self, config: VadConfig) -> Counts:
        regions = regions_from_probability(self.probability, config, self.samples, self.level_db)
        return counted(self.truth, mask(regions, len(self.truth)))


def meetings() -> list[Heard]:
    found = [item for part in ("train", "report") for item in split.meetings(part)]
    session = open_session()
    return [_heard(item.group, read(item.file), meeting_truth(item.file), session) for item in found]


def meeting_truth(path: Path) -> NDArray[np.bool_]:
    """Frames in which somebody speaks, by the annotation; one file is called trñ00, and trn00 there."""
    name = path.stem.replace("n\u0303", "n").replace("\u00f1", "n")
    return mask(meeting_turns(name), len(read(path)) // FRAME)


def clean_voices() -> list[Heard]:
    """Read speech of the side that may tune."""
    session = open_session()
    found = []
    for _, items in sorted(split.speakers("train").items()):
        samples = read(items[0].file)
        if len(samples) >= 3 * RATE and own_snr_db(samples) >= CLEAN_DB:
            found.append(_heard("read", samples, activity(samples), session))
    return found


def _heard(group: str, samples: Samples, truth: NDArray[np.bool_], session: object) -> Heard:
    padded = np.pad(samples, (0, -len(samples) % 800)).reshape(-1, 800).astype(np.float64)
    level_db = (10 * np.log10(np.maximum((padded**2).mean(axis=1), 1e-12))).astype(np.float32)
    gain = gain_db(level_db, VadConfig()) or 0.0
    louder = samples * np.float32(10 ** (gain / 20))
    return Heard(group, len(samples), speech_probability(louder, session), level_db, truth)


def candidates() -> Iterator[VadConfig]:
    for values in itertools.product(*GRID.values()):
        yield VadConfig(**dict(zip(GRID, values, strict=True)))


def best(counts: Mapping[VadConfig, Sequence[Counts]], chosen: Iterable[int]) -> VadConfig:
    """The least missed among those that keep to the share of false alarms, on the recordings `chosen`."""
    at = list(chosen)

    def rates(config: VadConfig) -> tuple[float, float]:
        total = np.sum([counts[config][n] for n in at], axis=0)
        return total[1] / total[0], total[3] / max(total[2], 1)

    fit = [config for config in counts if rates(config)[1] <= MOST_FALSE]
    return min(fit or list(counts), key=rates)


def table() -> Table:
    found, voices = meetings(), clean_voices()
    counts = {config: [one.counts(config) for one in found] for config in candidates()}
    everything = range(len(found))
    left_out = np.zeros(7)
    for group in sorted({one.group for one in found}):
        config = best(counts, [n for n in everything if found[n].group != group])
        left_out += np.sum([counts[config][n] for n in everything if found[n].group == group], axis=0)
    rows = [
        _row(name, np.sum([one.counts(config) for one in found], axis=0), voices, config)
        for name, config in (("silero's thresholds", SILERO), ("before", FIRST), ("defaults now", VadConfig()))
    ]
    rows.append(_row("chosen without the meeting that it is applied to", left_out, [], None))
    head = ("twelve clips", "missed %", "false alarms %", "read speech right %")
    return Table("vad-chosen", "the operating point", head, tuple(rows))


def _row(name: str, total: Counts, voices: Sequence[Heard], config: VadConfig | None) -> tuple[str, ...]:
    read_right = np.sum([voice.counts(config) for voice in voices], axis=0) if config else np.zeros(7)
    right = shown(100 * read_right[4] / (read_right[0] + read_right[2]), 1) if config else "–"
    return name, percent(total[1] / total[0]), percent(total[3] / total[2]), right


def main() -> int:
    parser = argparse.ArgumentParser(description="how VAD's operating point was chosen")
    parser.add_argument("--write", type=Path, help="put the table into this page")
    asked = parser.parse_args()
    try:
        made = table()
        if asked.write:
            page.write(asked.write, [made])
    except (NoAudio, page.NoPlace) as error:
        print(error, file=sys.stderr)
        return 2
    print(made.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
