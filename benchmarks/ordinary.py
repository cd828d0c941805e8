"""An ordinary good script for the same job, as people write it today: the yardstick that provoice is compared with.

    python -m benchmarks.ordinary SOURCE_DIR OUT_DIR

torch and torchaudio for waves, silero's default (TorchScript) path, librosa for features, webdataset for tars, pandas
for the manifest; one file after the other, each held whole in memory. Nothing is made slow on purpose: one compute
thread, resampling once, no gradient, features of a segment computed together from one spectrogram.

`torchaudio.load` of today needs FFmpeg's shared libraries on the machine (through torchcodec); the file is read with
soundfile instead, which its older versions did themselves.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pandas as pd
import soundfile
import torch
import torchaudio
import webdataset
from numpy.typing import NDArray
from silero_vad import get_speech_timestamps, load_silero_vad

from benchmarks.seconds import Seconds

ANALYSIS_RATE_HZ = 16_000
MIN_S, MAX_S = 1.0, 30.0


def load(path: Path) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Mono wave at the file's rate, the same at 16 kHz, and the file's rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    wave = torch.from_numpy(samples.T).mean(dim=0)
    return wave, torchaudio.functional.resample(wave, rate, ANALYSIS_RATE_HZ), rate


def segments(speech: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Speech regions of 16 kHz samples as pieces of 1 to 30 s."""
    longest = int(MAX_S * ANALYSIS_RATE_HZ)
    for region in speech:
        for start in range(region["start"], region["end"], longest):
            end = min(start + longest, region["end"])
            if end - start >= MIN_S * ANALYSIS_RATE_HZ:
                yield start, end


def features(segment: NDArray[np.float32]) -> dict[str, float]:
    """librosa's five usual ones, as means over the segment."""
    magnitude = np.abs(librosa.stft(segment, n_fft=512, hop_length=160))
    rate = ANALYSIS_RATE_HZ
    return {
        "rms": float(librosa.feature.rms(S=magnitude, frame_length=512).mean()),
        "centroid_hz": float(librosa.feature.spectral_centroid(S=magnitude, sr=rate).mean()),
        "bandwidth_hz": float(librosa.feature.spectral_bandwidth(S=magnitude, sr=rate).mean()),
        "rolloff_hz": float(librosa.feature.spectral_rolloff(S=magnitude, sr=rate).mean()),
        "flatness": float(librosa.feature.spectral_flatness(S=magnitude).mean()),
    }


def encoded(samples: NDArray[np.float32], rate: int) -> bytes:
    sink = io.BytesIO()
    soundfile.write(sink, samples, rate, format="FLAC", subtype="PCM_16")
    return sink.getvalue()


def main(source: Path, out: Path) -> dict[str, float]:
    """Process every MP3 of `source` into `out`; CPU seconds per step."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    seconds = Seconds()
    model = load_silero_vad()
    seconds.add("start-up", time.process_time())
    rows: list[dict[str, Any]] = []
    with webdataset.ShardWriter(str(out / "shard-%06d.tar"), maxcount=100_000, verbose=0) as tars, torch.no_grad():
        for path in sorted(source.glob("*.mp3")):
            with seconds.of("decode"):
                wave, analysis, rate = load(path)
            with seconds.of("vad"):
                speech = get_speech_timestamps(analysis, model, sampling_rate=ANALYSIS_RATE_HZ)
            for start, end in segments(speech):
                with seconds.of("features"):
                    row: dict[str, Any] = dict(features(analysis[start:end].numpy()))
                with seconds.of("encode"):
                    first, last = start * rate // ANALYSIS_RATE_HZ, end * rate // ANALYSIS_RATE_HZ
                    flac = encoded(wave[first:last].numpy(), rate)
                with seconds.of("tar"):
                    row |= {"key": f"{path.stem}-{first:010d}-{last:010d}", "duration_s": (last - first) / rate}
                    tars.write({"__key__": row["key"], "flac": flac, "json": row})
                rows.append(row)
    with seconds.of("parquet"):
        pd.DataFrame(rows).to_parquet(out / "manifest.parquet")
    return seconds.spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(main(arguments.source, arguments.out)))
