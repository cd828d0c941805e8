"""The best parts of today chained by hand: the limit that provoice is compared with.

    python -m benchmarks.parts SOURCE_DIR OUT_DIR

libsndfile in blocks, a streaming soxr resampler, silero's sequence model through onnxruntime (torch is never
imported), five spectral features in numpy, soundfile's FLAC, a tar with fixed times, PyArrow. It reads MP3 only, knows
no other reader, no broken file, no diarization, no consent, no commit and no retry: that is what makes it a limit.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.seconds import Seconds

Samples = NDArray[np.float32]

ANALYSIS_RATE_HZ = 16_000
FRAME, CONTEXT = 512, 64
"""Samples of one VAD frame, and of the previous frame that the model wants before it."""
FRAMES_PER_CALL = 512
ON, OFF = 0.5, 0.35
MIN_SILENCE, PAD = 1_600, 480
MIN_S, MAX_S = 1.0, 30.0
BLOCK = 1 << 16


def decode(path: Path) -> tuple[NDArray[np.int16], Samples, int]:
    """Mono samples at the file's rate, 16 bit; the same at 16 kHz; the file's rate."""
    native: list[NDArray[np.int16]] = []
    analysis: list[Samples] = []
    with soundfile.SoundFile(path) as sound:
        rate = int(sound.samplerate)
        resampler = soxr.ResampleStream(rate, ANALYSIS_RATE_HZ, 1, dtype="float32", quality="HQ")
        for block in sound.blocks(BLOCK, dtype="float32", always_2d=True):
            mono = block[:, 0] + block[:, 1]
            mono *= 0.5
            analysis.append(resampler.resample_chunk(mono))
            np.clip(mono, -1.0, 32767 / 32768, out=mono)
            mono *= 32768.0
            native.append(mono.astype(np.int16))
        analysis.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(native), np.concatenate(analysis), rate


def open_vad() -> onnxruntime.InferenceSession:
    """The sequence model that ships in silero-vad's wheel; the package itself would import torch."""
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise SystemExit("silero-vad is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = Path(spec.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def probabilities(model: onnxruntime.InferenceSession, samples: Samples) -> Samples:
    """Probability of speech per frame of 512 samples."""
    frames = np.zeros((-(-len(samples) // FRAME), FRAME), np.float32)
    frames.reshape(-1)[: len(samples)] = samples
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    found: list[Samples] = []
    last = np.zeros(CONTEXT, np.float32)
    for first in range(0, len(frames), FRAMES_PER_CALL):
        block = np.empty((min(FRAMES_PER_CALL, len(frames) - first), CONTEXT + FRAME), np.float32)
        block[:, CONTEXT:] = frames[first : first + len(block)]
        block[0, :CONTEXT], block[1:, :CONTEXT] = last, block[:-1, -CONTEXT:]
        last = block[-1, -CONTEXT:].copy()
        values, hidden, cell = model.run(["speech_probs", "hn", "cn"], {"input": block, "h": hidden, "c": cell})
        found.append(values.reshape(-1))
    return np.concatenate(found)


def regions(probability: Samples, n_samples: int) -> Iterator[tuple[int, int]]:
    """silero's rule with its default settings: on at 0.5, off under 0.35 for 0.1 s, padded by 0.03 s."""
    begin, quiet = -1, -1
    for frame, value in enumerate(probability.tolist()):
        now = frame * FRAME
        if value >= ON:
            begin, quiet = (now if begin < 0 else begin), -1
        elif begin >= 0 and value < OFF:
            quiet = now if quiet < 0 else quiet
            if now - quiet >= MIN_SILENCE:
                yield max(0, begin - PAD), min(quiet + PAD, n_samples)
                begin = quiet = -1
    if begin >= 0:
        yield max(0, begin - PAD), n_samples


def segments(speech: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Speech regions as pieces of 1 to 30 s."""
    longest = int(MAX_S * ANALYSIS_RATE_HZ)
    for begin, end in speech:
        for start in range(begin, end, longest):
            stop = min(start + longest, end)
            if stop - start >= MIN_S * ANALYSIS_RATE_HZ:
                yield start, stop


_WINDOW = np.hanning(FRAME).astype(np.float32)
_HZ = np.fft.rfftfreq(FRAME, 1 / ANALYSIS_RATE_HZ).astype(np.float32)


def features(segment: Samples) -> dict[str, float]:
    """Level, centroid, bandwidth, rolloff and flatness, as means over frames of 32 ms every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(segment, FRAME)[::160] * _WINDOW
    power = np.abs(np.fft.rfft(frames)) ** 2 + 1e-12
    total = power.sum(axis=1)
    centroid = power @ _HZ / total
    spread = np.sqrt(np.maximum(power @ (_HZ * _HZ) / total - centroid**2, 0.0))
    rolloff = _HZ[(np.cumsum(power, axis=1) >= 0.85 * total[:, None]).argmax(axis=1)]
    flatness = np.exp(np.log(power).mean(axis=1)) / (total / power.shape[1])
    return {
        "rms": round(float(np.sqrt(np.mean(segment * segment))), 6),
        "centroid_hz": round(float(centroid.mean()), 1),
        "bandwidth_hz": round(float(spread.mean()), 1),
        "rolloff_hz": round(float(rolloff.mean()), 1),
        "flatness": round(float(flatness.mean()), 6),
    }


def encoded(samples: NDArray[np.int16], rate: int) -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, samples, rate, format="FLAC", subtype="PCM_16")
    return sink.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_manifest(rows: list[dict[str, Any]], path: Path) -> None:
    # By column and typed: Table.from_pylist imports pandas, 0.7 s.
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        name: pa.array([row[name] for row in rows], pa.string() if name == "key" else pa.float64()) for name in rows[0]
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def main(source: Path, out: Path) -> dict[str, float]:
    """Process every MP3 of `source` into `out`; CPU seconds per step."""
    out.mkdir(parents=True, exist_ok=True)
    seconds = Seconds()
    model = open_vad()
    seconds.add("start-up", time.process_time())
    rows: list[dict[str, Any]] = []
    with tarfile.open(out / "shard-000000.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(source.glob("*.mp3")):
            with seconds.of("decode"):
                native, analysis, rate = decode(path)
            with seconds.of("vad"):
                found = list(segments(regions(probabilities(model, analysis), len(analysis))))
            for start, end in found:
                with seconds.of("features"):
                    row: dict[str, Any] = dict(features(analysis[start:end]))
                with seconds.of("encode"):
                    first, last = start * rate // ANALYSIS_RATE_HZ, end * rate // ANALYSIS_RATE_HZ
                    flac = encoded(native[first:last], rate)
                with seconds.of("tar"):
                    row |= {"key": f"{path.stem}-{first:010d}-{last:010d}", "duration_s": (last - first) / rate}
                    add(tar, f"{row['key']}.flac", flac)
                    add(tar, f"{row['key']}.json", json.dumps(row).encode())
                rows.append(row)
    with seconds.of("parquet"):
        write_manifest(rows, out / "manifest.parquet")
    return seconds.spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(main(arguments.source, arguments.out)))
