"""pyannote's pipeline with each window embedded once: the speakers of a window differ in the pooling mask alone.

The stock pipeline runs the embedding's backbone once per window and local speaker, though all but its pooling is the
same for all of them. Windows of several recordings share batches; what comes out is each recording's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Samples


class SharedWindows:
    """Runs an instantiated `SpeakerDiarization` pipeline. `file` is what pyannote takes: waveform, rate and a URI."""

    def __init__(self, pipeline: Any, batch: int) -> None:
        self.pipeline = pipeline
        self._batch = batch
        self._model = pipeline._embedding.model_

    def __call__(self, files: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> list[Any]:
        """What the pipeline says of each file, in order; `asked` are its keywords (num_speakers, max_speakers)."""
        segmentations = self.segmented(files)
        embeddings = self.embedded(files, segmentations)
        said = []
        for file, found, vectors, keywords in zip(files, segmentations, embeddings, asked, strict=True):
            # The pipeline itself goes on from here, as it is: counting, clustering, turns.
            self.pipeline.get_segmentations = lambda *_, answer=found, **__: answer
            self.pipeline.get_embeddings = lambda *_, answer=vectors, **__: answer
            try:
                said.append(self.pipeline(file, **keywords))
            finally:
                del self.pipeline.get_segmentations, self.pipeline.get_embeddings
        return said

    def segmented(self, files: Sequence[dict[str, Any]]) -> list[Any]:
        """Who of its local speakers is heard when, per window: (windows, frames, speakers), one answer per file.

        A recording alone is heard by pyannote's own function; several of them share batches.
        """
        if len(files) == 1:
            return [self.pipeline.get_segmentations(files[0])]
        from pyannote.core import SlidingWindow, SlidingWindowFeature

        inference = self.pipeline._segmentation
        chunks = [(n, chunk) for n, file in enumerate(files) for chunk in self._chunks(file["waveform"])]
        heard: list[list[NDArray[Any]]] = [[] for _ in files]
        for some in _batches(iter(chunks), self._batch):
            for (n, _), one in zip(some, inference.infer(_stacked([chunk for _, chunk in some])), strict=True):
                heard[n].append(one)
        return [
            SlidingWindowFeature(
                np.stack(found), SlidingWindow(start=0.0, duration=inference.duration, step=inference.step)
            )
            for found in heard
        ]

    def _chunks(self, waveform: Any) -> Iterator[Any]:
        """Windows as pyannote places them, the last one padded with silence; each of shape (1, samples)."""
        from torch.nn.functional import pad

        inference = self.pipeline._segmentation
        size = inference.model.audio.get_num_samples(inference.duration)
        step, n = round(inference.step * ANALYSIS_RATE_HZ), waveform.shape[1]
        whole = (n - size) // step + 1 if n >= size else 0
        for index in range(whole):
            yield waveform[:, index * step : index * step + size]
        if n < size or (n - size) % step:
            last = waveform[:, whole * step :]
            yield pad(last, (0, size - last.shape[1]))

    def embedded(self, files: Sequence[dict[str, Any]], segmentations: Sequence[Any]) -> list[NDArray[np.float32]]:
        """A vector per window and local speaker, (windows, speakers, d), for each file.

        A window in which nobody is heard goes by without the backbone: under masks of zeros every window pools to
        zeros, whatever is in it.
        """
        import torch

        masks = [self._masks(self._binary(found)) for found in segmentations]
        starts = [np.array([chunk.start for chunk, _ in found]) for found in segmentations]
        found = [np.zeros((*mask.shape[:2], self._model.dimension), np.float32) for mask in masks]
        wanted = [(n, c) for n, mask in enumerate(masks) for c in np.flatnonzero(mask.any((1, 2))).tolist()]
        with torch.inference_mode():
            for some in _batches(iter(wanted), self._batch):
                windows = _stacked([self._window(files[n], segmentations[n], starts[n][c]) for n, c in some])
                frames = self._model.forward_frames(windows.to(self._device))
                vectors = self._pooled(frames, np.stack([masks[n][c] for n, c in some]))
                for (n, c), one in zip(some, vectors, strict=True):
                    found[n][c] = one
            for n, mask in enumerate(masks):
                silent = ~mask.any((1, 2))
                if silent.any():
                    window = self._window(files[n], segmentations[n], starts[n][0])[None]
                    frames = torch.zeros_like(self._model.forward_frames(window.to(self._device)))
                    found[n][silent] = self._pooled(frames, np.zeros((1, *mask.shape[1:]), np.float32))[0]
        return found

    @property
    def _device(self) -> Any:
        return self.pipeline._embedding.device

    def _pooled(self, frames: Any, masks: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        weights = torch.from_numpy(masks).to(self._device)
        pooled: NDArray[np.float32] = self._model.forward_embedding(frames, weights=weights).cpu().numpy()
        return pooled

    def _window(self, file: dict[str, Any], segmentation: Any, start_s: float) -> Any:
        from pyannote.core import Segment

        # By pyannote's own function: where a window begins is a matter of rounding.
        chunk = Segment(start_s, start_s + segmentation.sliding_window.duration)
        return self.pipeline._audio.crop(file, chunk, mode="pad")[0]

    def _binary(self, segmentation: Any) -> Any:
        from pyannote.audio.utils.signal import binarize

        if self.pipeline._segmentation.model.specifications.powerset:
            return segmentation
        return binarize(segmentation, onset=self.pipeline.segmentation.threshold, initial_state=False)

    def _masks(self, binary: Any) -> NDArray[np.float32]:
        """Which frames each local speaker's vector is pooled over, (windows, speakers, frames): those without overlap,
        where the pipeline says so and enough of them are left."""
        every = np.nan_to_num(binary.data, nan=0.0).astype(np.float32)
        if not self.pipeline.embedding_exclude_overlap:
            return np.ascontiguousarray(every.transpose(0, 2, 1))
        least = math.ceil(
            every.shape[1]
            * self.pipeline._embedding.min_num_samples
            / (binary.sliding_window.duration * self.pipeline._embedding.sample_rate)
        )
        clean = every * (binary.data.sum(2, keepdims=True) < 2)
        enough = clean.sum(1, keepdims=True) > least
        return np.ascontiguousarray(np.where(enough, clean, every).transpose(0, 2, 1).astype(np.float32))


def as_file(samples: Samples, uri: str) -> dict[str, Any]:
    """16 kHz samples, shape (n,), as pyannote takes them: a waveform and never a path."""
    import torch

    return {
        "waveform": torch.from_numpy(np.ascontiguousarray(samples))[None],
        "sample_rate": ANALYSIS_RATE_HZ,
        "uri": uri,
    }


def _stacked(windows: Sequence[Any]) -> Any:
    import torch

    return torch.stack(list(windows))


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while some := list(islice(items, size)):
        yield some
