"""Who speaks when, by pyannote.audio's own pipeline, from files whose SHA-256 the configuration states."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.errors import ConfigError, Rejected
from schemas.sound import Region
from transforms.diarize.backend import Heard, known_count, labelled
from transforms.diarize.pyannote_files import PLDA_FILES, Layout, PyannoteConfig, layout_of
from transforms.diarize.pyannote_shared import SharedWindows, as_file
from transforms.diarize.strangers import named_voices
from transforms.items import Recording, Track

Spans = list[tuple[Region, object]]
"""Turns of a track as (region, voice)."""


class PyannoteVoices:
    """Each track is heard by itself. On a GPU the recordings of a batch share the models' batches; on a CPU each goes
    alone and on one thread, so that its bytes depend neither on its neighbours nor on the number of cores."""

    def __init__(self, config: PyannoteConfig, speakers: int | None = None, max_speakers: int | None = None) -> None:
        self._config = config
        self._speakers = speakers
        self._max_speakers = max_speakers
        self._run: SharedWindows | None = None
        self._is_cpu = True

    def model_ids(self) -> Mapping[str, str]:
        return self._config.models()

    def open(self) -> None:
        """Loads the pipeline. Raises ConfigError where a file is missing or not the one that is stated."""
        layout = layout_of(self._config)
        torch = _torch()
        device = _device(torch, self._config.device)
        self._is_cpu = device.type == "cpu"
        if self._is_cpu:
            # Sums must not depend on how many cores there are, and there is a worker on each.
            torch.set_num_threads(1)
        self._run = SharedWindows(load_pipeline(self._config, layout).to(device), self._config.batch)

    def heard(self, recording: Recording) -> Heard:
        (answer,) = self.heard_together([recording])
        if isinstance(answer, Rejected):
            raise answer
        return answer

    def heard_together(self, recordings: Sequence[Recording]) -> list[Heard | Rejected]:
        """One answer per recording, in order."""
        if self._run is None or any(recording.decoded is None for recording in recordings):
            raise RuntimeError("the backend is opened, and recordings decoded, before their voices are heard")
        tracks = [(n, track) for n, recording in enumerate(recordings) for track in recording.decoded.tracks]  # type: ignore[union-attr]
        groups = [[one] for one in tracks] if self._is_cpu else [tracks]
        told: list[list[Spans]] = [[] for _ in recordings]
        for group in groups:
            for (n, _), spans in zip(group, self._spans(recordings, group), strict=True):
                told[n].append(spans)
        return [_heard(recording, spans) for recording, spans in zip(recordings, told, strict=True)]

    def _spans(self, recordings: Sequence[Recording], group: Sequence[tuple[int, Track]]) -> list[Spans]:
        """Turns of each track; one without samples has none."""
        spans: list[Spans] = [[] for _ in group]
        full = [at for at, (_, track) in enumerate(group) if track.n_analysis]
        files = [as_file(group[at][1].read_analysis(0, group[at][1].n_analysis), f"t{at}") for at in full]
        asked = [self._asked(recordings[group[at][0]], group[at][1]) for at in full]
        if full and self._run is not None:
            with warnings.catch_warnings():
                # It warns of files with fewer voices than asked for, and of its own arithmetic on short ones.
                warnings.simplefilter("ignore")
                for at, said in zip(full, self._run(files, asked), strict=True):
                    spans[at] = _regions(said, group[at][1])
        return spans

    def _asked(self, recording: Recording, track: Track) -> dict[str, int]:
        n_tracks = len(recording.decoded.tracks) if recording.decoded else 1
        count = known_count(recording.catalogue, track, n_tracks, self._speakers)
        if count is not None:
            return {"num_speakers": count}
        return {} if self._max_speakers is None else {"max_speakers": self._max_speakers}


def load_pipeline(config: PyannoteConfig, layout: Layout) -> Any:
    """pyannote's pipeline by its own `Pipeline.from_pretrained`, of models that are read from checked bytes. No hub is
    asked, and nothing is reported to anybody. Raises ConfigError."""
    _torch()
    from pyannote.audio import Pipeline

    params = {
        **layout.params,
        "segmentation": _model(config, layout.segmentation),
        "embedding": _model(config, layout.embedding),
        "plda": _plda(config, layout.plda),
        "segmentation_batch_size": config.batch,
        "embedding_batch_size": config.batch,
    }
    if not hasattr(params["embedding"], "forward_frames"):
        raise ConfigError(f"diarize.pyannote: {layout.embedding} is no embedding model whose pooling stands apart")
    params.pop("legacy", None)
    name = "pyannote.audio.pipelines.SpeakerDiarization"
    try:
        pipeline: Any = Pipeline.from_pretrained(
            {"pipeline": {"name": name, "params": params}, **({"params": layout.tuned} if layout.tuned else {})}
        )
        if not pipeline.instantiated:
            # As pyannote would at its first use; here a threshold that is missing is told before the run begins.
            pipeline.instantiate(layout.tuned or pipeline.default_parameters())
        if not pipeline.instantiated:
            raise ValueError("its `params` leave thresholds unset")
        return pipeline
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"pyannote cannot make the pipeline of {config.folder()}: {said}") from None


def _model(config: PyannoteConfig, name: str) -> Any:
    """A model, unpickled only after its bytes are found to be those that the configuration states."""
    from pickle import UnpicklingError

    import torch
    from pyannote.audio import Model

    data = config.read(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = Model.from_pretrained(data, map_location=torch.device("cpu"), strict=False)
    except (
        RuntimeError,
        KeyError,
        AttributeError,
        ImportError,
        EOFError,
        ValueError,
        TypeError,
        UnpicklingError,
    ) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"{config.folder() / name} is no checkpoint of pyannote: {said}") from None
    return model.eval()


def _plda(config: PyannoteConfig, folder: str | None) -> Any:
    """The PLDA; an empty one where the clustering uses none, for the pipeline asks for it all the same."""
    from pyannote.audio.core.plda import PLDA

    if folder is None:
        return PLDA.__new__(PLDA)
    files: list[Any] = [config.read(f"{folder}/{name}" if folder != "." else name) for name in PLDA_FILES]
    try:
        transform, plda = files
        return PLDA(transform, plda)
    except (ValueError, KeyError, OSError, np.linalg.LinAlgError) as error:
        raise ConfigError(f"{config.folder() / folder} holds no PLDA that pyannote reads: {error}") from None


def _torch() -> Any:
    """torch, with pyannote's reports to its makers switched off before pyannote is imported."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        with warnings.catch_warnings():
            # It warns at length where torchcodec is missing; it is given waveforms, and reads no file.
            warnings.simplefilter("ignore")
            import pyannote.audio
            import torch
    except ImportError as error:
        raise ConfigError(
            f"diarize.backend `pyannote` cannot be imported: {error}; pip install 'provoice[diarization]'"
        ) from None
    # Asked at every use; a pyannote that was imported before us may have set it.
    _ = pyannote.audio.__version__
    return torch


def _device(torch: Any, name: str) -> Any:
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("diarize.pyannote.device is `cuda`, and torch finds no GPU here; take `auto` or `cpu`")
    return torch.device("cuda" if name != "cpu" and has_gpu else "cpu")


def _regions(said: Any, track: Track) -> Spans:
    annotation = getattr(said, "speaker_diarization", said)
    found: Spans = []
    for segment, _, who in annotation.itertracks(yield_label=True):
        start = max(0, round(segment.start * track.sample_rate_hz))
        end = min(track.n_samples, round(segment.end * track.sample_rate_hz))
        if start < end:
            found.append((Region(start, end), who))
    return found


def _heard(recording: Recording, tracks: list[Spans]) -> Heard:
    """Turns, how many voices they are, and the seconds of the longest one beyond those whom the catalogue names."""
    seconds: dict[tuple[int, object], float] = {}
    for n, (spans, track) in enumerate(zip(tracks, recording.decoded.tracks if recording.decoded else (), strict=True)):
        for region, who in spans:
            seconds[n, who] = seconds.get((n, who), 0.0) + region.n_samples / track.sample_rate_hz
    beyond = sorted(seconds.values(), reverse=True)[named_voices(recording.catalogue) :]
    return Heard(labelled(tracks), len(seconds), round(max(beyond, default=0.0), 1))
