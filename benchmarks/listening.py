"""Samples through the real stages, without a file around them, and how far what was heard is from the truth."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import CatalogueRow, Subject
from schemas.errors import Rejected
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples
from schemas.source import Source
from transforms.diarize import Diarize, DiarizeConfig, EmbeddedConfig
from transforms.items import ChannelMeasurements, Decoded, Recording, Track
from transforms.vad import DetectSpeech, VadConfig

Errors = NDArray[np.float64]
"""Seconds missed, added and confused, and of speech in all; shape (4,)."""


@dataclass(frozen=True, slots=True)
class Known:
    """A recording at 16 kHz, and who speaks when in it: (start_s, end_s, person)."""

    samples: Samples
    spans: tuple[tuple[float, float, str], ...]

    @property
    def people(self) -> int:
        return len({person for _, _, person in self.spans})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the diarizer said of one recording."""

    spans: tuple[tuple[float, float, str], ...]
    voices: int
    extra_voice_s: float
    cpu_s: float


@cache
def _stages(detect_overlap: bool = True) -> tuple[DetectSpeech, Diarize]:
    embedded = EmbeddedConfig(detect_overlap=detect_overlap)
    stages = DetectSpeech(VadConfig()), Diarize(DiarizeConfig(embedded=embedded))
    for stage in stages:
        stage.open()
    return stages


def speech_in(samples: Samples) -> list[Region]:
    """Regions of speech, 16 kHz samples."""
    with tempfile.TemporaryDirectory() as folder:
        (found,) = _stages()[0]([_recording(samples, Path(folder), CatalogueRow())])
    return [] if isinstance(found, Rejected) else list(found.speech[0])


def listen(samples: Samples, named: int = 1, speakers: int | None = None, detect_overlap: bool = True) -> Answer:
    """Speech and voices of a recording in which `named` people are named. `cpu_s` is the diarizer's."""
    row = CatalogueRow(subjects=tuple(Subject(subject_id=f"p{n}") for n in range(named)), speakers=speakers)
    detect, diarize = _stages(detect_overlap)
    with tempfile.TemporaryDirectory() as folder:
        (found,) = detect([_recording(samples, Path(folder), row)])
        if isinstance(found, Rejected):
            return Answer((), 0, 0.0, 0.0)
        began = time.process_time()
        (told,) = diarize([found])
        cpu_s = time.process_time() - began
    if isinstance(told, Rejected):
        raise RuntimeError(f"the diarizer put a recording aside: {told}")
    spans = tuple((t.region.start_sample / RATE, t.region.end_sample / RATE, t.speaker) for t in told.turns[0])
    return Answer(spans, told.voices or 0, told.extra_voice_s or 0.0, cpu_s)


def _recording(samples: Samples, folder: Path, row: CatalogueRow) -> Recording:
    heard = np.ascontiguousarray(samples, "<f4")
    path = folder / "analysis.f32"
    heard.tofile(path)
    frames = heard[: len(heard) // 800 * 800].reshape(-1, 800).astype(np.float64)
    level_db = (10 * np.log10(np.maximum((frames**2).mean(1), 1e-12))).astype(np.float32)
    track = Track(0, RATE, len(heard), path, "int16", 16, path, len(heard), level_db)
    decoded = Decoded(RATE, 1, len(heard), "", "", "", None, "mono", (), (track,), (ChannelMeasurements(0),))
    return Recording(Source("bench", "made.wav", "1", 1), "0" * 64, path, row, decoded)


def errors(known: Known, said: Answer) -> Errors:
    """Seconds of each error of diarization, in frames of 10 ms, overlap counted and no collar; labels are matched to
    people so that the least is confused."""
    from scipy.optimize import linear_sum_assignment

    frames = len(known.samples) * 100 // RATE + 1
    truth, heard = _who(known.spans, frames), _who(said.spans, frames)
    together = truth.astype(np.int64) @ heard.T.astype(np.int64)
    matched = together[linear_sum_assignment(-together)].sum()
    n_truth, n_heard = truth.sum(0), heard.sum(0)
    missed, added = np.maximum(0, n_truth - n_heard).sum(), np.maximum(0, n_heard - n_truth).sum()
    confused = np.minimum(n_truth, n_heard).sum() - matched
    return np.array([missed, added, confused, n_truth.sum()]) / 100


def _who(spans: Sequence[tuple[float, float, str]], frames: int) -> NDArray[np.bool_]:
    """Who is heard in each frame, shape (people, frames)."""
    people = sorted({person for _, _, person in spans})
    heard = np.zeros((max(1, len(people)), frames), np.bool_)
    for start_s, end_s, person in spans:
        heard[people.index(person), round(start_s * 100) : round(end_s * 100)] = True
    return heard
