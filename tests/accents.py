"""People with made accents: real voices, moved in pitch and length to be other people, whose sound is tilted to one
side or the other of the spectrum. What is learnt from them, and by whom it is said, is known."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from lake.lake import Lake
from schemas.consent import TERMS
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from tests import speech
from tests.runs import catalogue_file, run, with_grants

LABELS = ("scottish", "welsh")
SPEAKERS = 4
"""Of each label."""
CLIPS, CLIP_S = 2, 3.0
TAGGER_YAML = "action: train_tagger\n" + "".join(f"{term}: any\n" for term in TERMS) + 'until: "2099-01-01"\n'
SETTINGS = ("workers=1", "snr=null", "reverberation=null", "loudness=null")


def people() -> list[tuple[str, str]]:
    """Everybody with their label."""
    return [(f"{label[0]}{n}", label) for label in LABELS for n in range(SPEAKERS)]


@cache
def said(label: str, person: int, clip: int, seconds: float = CLIP_S) -> Samples:
    """16 kHz samples: `scottish` is dark, `welsh` is bright; persons differ in voice and speed."""
    voice = speech.voice(("speaker90", "speaker91")[person % 2], 12.0)
    place = np.arange(0, len(voice) - 1, 0.88 + 0.06 * person)
    moved = np.interp(place, np.arange(len(voice)), voice)
    start = round(clip * 1.3 * ANALYSIS_RATE_HZ)
    piece = moved[start : start + round(seconds * ANALYSIS_RATE_HZ)]
    tilt = 0.9 if label == "scottish" else -0.9
    tilted = piece.copy()
    tilted[1:] += tilt * piece[:-1]
    return np.asarray(0.3 * tilted / np.abs(tilted).max(), np.float32)


def recordings(folder: Path) -> Path:
    """A WAV per clip, `PERSON/N.wav`, and the catalogue that declares everybody's accent; returns the catalogue."""
    for who, label in people():
        for clip in range(CLIPS):
            speech.write(folder / "raw" / who / f"{clip}.wav", said(label, int(who[1:]), clip))
    lines = [
        {"prefix": f"{who}/", "subjects": [who], "complete": True, "language": "en", "accent": label}
        for who, label in people()
    ]
    path = folder / "catalogue.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def labelled_lake(folder: Path) -> Lake:
    """A lake that a run has made of `recordings`; everybody allows everything."""
    lake = with_grants(folder / "lake", *(who for who, _ in people()))
    run(folder / "raw", folder / "lake", "configs/default.yaml", SETTINGS, recordings(folder))
    (folder / "use.yaml").write_text(TAGGER_YAML)
    return lake


def undeclared(folder: Path) -> Path:
    """Two recordings of each label by people nobody has heard of, `LABEL-N.wav`, whose accent nobody declares; and
    `declared.wav`, whose owner says Irish. Returns the catalogue."""
    for label in LABELS:
        for clip in range(2):
            speech.write(folder / "new" / f"{label}-{clip}.wav", said(label, SPEAKERS + clip, clip))
    speech.write(folder / "new" / "declared.wav", said("welsh", 1, 1))
    entries = {f"{label}-{clip}.wav": ["s0"] for label in LABELS for clip in range(2)}
    path = catalogue_file(folder / "new.jsonl", entries, language="en")
    with path.open("a") as file:
        file.write(json.dumps({"path": "declared.wav", "subjects": ["s1"], "complete": True, "accent": "Irish"}) + "\n")
    return path
