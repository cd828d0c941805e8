"""The data sheet beside the weights: what they were made from and how, its licences, and how far off they are.

    python -m training.sheet FOLDER [OTHER]

writes `acoustics.md` anew from FOLDER's `made.json`, with the errors of OTHER's seed beside its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import table
from training.pool import training_items
from transforms.acoustics import C50_RANGE_DB, RT60_RANGE_S, SNR_RANGE_DB

_SHEET = """# acoustics.onnx

Hears 16 kHz speech and says, per 40 ms, how likely somebody speaks and how far speech stands over noise, and per
utterance SNR (over active speech, above 60 Hz), C50 and RT60, each with the error it expects of itself. Made by
provoice's own recipe, from the recordings listed below and nothing else; no other model's weights or labels went in.

- SHA-256: `{sha256}`, {bytes:,} bytes, {parameters:,} parameters, float32, ONNX opset {opset}.
- Input: power in 40 mel bands of 25 ms windows every 20 ms, relative to the utterance's loudest frames
  (`transforms.acoustics.fed`). Output: see `transforms.acoustics`.
- Estimates end at {snr[0]:g} and {snr[1]:g} dB of SNR, {c50[0]:g} and {c50[1]:g} dB of C50, {rt60[0]:g} and
  {rt60[1]:g} s of RT60.

## Licence

The weights are under the Apache License 2.0, like provoice. They were trained on:

| data | licence | attribution |
| --- | --- | --- |
| LibriSpeech, train-clean-100 and test-other, some clips | CC BY 4.0 | V. Panayotov and others, 2015; LibriVox |
| CSTR VCTK Corpus, a few clips | CC BY 4.0 | J. Yamagishi, C. Veaux, K. MacDonald, University of Edinburgh |
| AMI Meeting Corpus, pauses of seven clips | CC BY 4.0 | AMI Consortium |
| fire, sheep, surf, an alley, a bus, a tap | CC0, MIT | jtgsystems/modern-alarm-clock, iver56/audiomentations |
| two noises of SpeechBrain's samples | Apache-2.0 | speechbrain/speechbrain |
| music of the FLAC test files, a guitar | CC0, MIT | ietf-wg-cellar/flac-test-files, iver56/audiomentations |

## Recipe

    python -m training --seed {seed}

{size_text}; {how};
{minutes:.0f} minutes on {machine}.

- Rooms: image sources early, then noise that decays by octaves, T30 0.15–4 s; half of them common ones, about 0.5 s.
- Noises: real ones at other speeds, backwards, in grains; babble of 3 to 20; noise of real spectra; coloured, swelling,
  hum and motors; knocks, calls and cries, alone and in rhythms; crackle; now and then two at once.
- Pairs, ratios (−9 to 40 dB, of voices whose own noise lies 9 dB lower), channels and damage are drawn anew for every
  batch; one mixture in five is heard over a telephone (100–380 Hz to 3.1–3.9 kHz, at 8 kHz, half of them in G.711's
  eight bits).
- Calibration on rooms, people and stretches kept out of the fit: offsets {offset}, spreads times {spread}
  (SNR, C50, ln RT60).

## Errors

On the report side of `training.split`: voices, noises and rooms that were never heard. `python -m training.report`

{errors}

{speed:,.0f} times real time on one core for an utterance of 8 s, features and decays included: the quickest of many
rounds.
{other}
## What was heard

{count} files, by SHA-256:

{files}
"""


def sheet(facts: dict[str, Any], other: dict[str, Any] | None = None) -> str:
    """The page, Markdown: of what `python -m training` left in `made.json`, and what another seed did."""
    calibration, fit = facts["calibration"], facts["fit"]
    return _SHEET.format(
        **{name: facts[name] for name in ("sha256", "bytes", "parameters", "opset", "minutes", "machine", "speed")},
        snr=SNR_RANGE_DB,
        c50=C50_RANGE_DB,
        rt60=RT60_RANGE_S,
        seed=fit["seed"],
        size_text=", ".join(f"{count:,} {what}" for what, count in facts["size"].items()),
        how=f"{fit['steps']:,} steps on batches of {fit['batch']}, each taken {fit['passes']} times, AdamW, one cycle "
        f"to {fit['rate']:g}",
        offset=", ".join(f"{value:g}" for value in calibration["offset"]),
        spread=", ".join(f"{value:g}" for value in calibration["spread"]),
        errors=_errors(facts["rows"]),
        other=_other(other),
        count=len(training_items()),
        files="\n".join(f"- `{item.sha256}` {item.path}" for item in training_items()),
    )


def _errors(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return table(names, [[str(row.get(name, "")) for name in names] for row in rows])


def _other(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return ""
    fit = facts["fit"]
    said = f"The same recipe with seed {fit['seed']} and {fit['steps']:,} steps, which does not ship:"
    return f"\n{said}\n\n{_errors(facts['rows'])}\n"


def files_of(text: str) -> dict[str, str]:
    """SHA-256 by path of the files that a data sheet lists."""
    lines = (line.removeprefix("- `").split("` ", 1) for line in text.splitlines() if line.startswith("- `"))
    return {path: sha256 for sha256, path in lines if len(sha256) == 64}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where `python -m training` left its files")
    parser.add_argument("other", type=Path, nargs="?", help="where it left those of another seed")
    asked = parser.parse_args()
    other = _facts(asked.other) if asked.other else None
    (asked.folder / "acoustics.md").write_text(sheet(_facts(asked.folder), other), encoding="utf-8")


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    return facts


if __name__ == "__main__":
    main()
