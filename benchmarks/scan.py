"""How fast a scan looks, by kind of detector, and how often its ear errs.

    python -m benchmarks.scan [--json FILE]            MB/s of one core, by detector
    python -m benchmarks.scan --voices [--json FILE]   misses and false alarms on real recordings

Seconds are of the processor, so that a busy machine does not count against it. Voices: each known sound is one clip; of
each, windows at random places, treated as the row says, must be recognised as that clip at that place; clips of others,
whole, must not be recognised as any.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.corpus import NoAudio, clips
from benchmarks.tables import table
from lake.tar import TarWriter
from pipelines.verify import landmarks
from pipelines.verify.needles import Kind, Needles, Term, Voices
from pipelines.verify.seal import keyed
from pipelines.verify.sound import MIN_AGREEING, Listener
from pipelines.verify.walk import Walker

Samples = NDArray[np.float32]
_KEY = b"a key for measuring, no secret"
_RATE_HZ = 16_000


def _words(count: int) -> tuple[Term, ...]:
    return tuple(Term(Kind.DIGEST, f"digest {n}", hashlib.sha256(b"%d" % n).hexdigest()) for n in range(count))


def _json_lines(size: int) -> bytes:
    rng = random.Random(1)
    lines: list[str] = []
    while len(lines) * 300 < size:
        row = {"key": f"{rng.getrandbits(128):032x}", "sha256": f"{rng.getrandbits(256):064x}", "text": " ".join(
            rng.choice(["good", "morning", "and", "the", "weather", "was", "fine"]) for _ in range(20)
        )}  # fmt: skip
        lines.append(json.dumps(row))
    return "\n".join(lines).encode()[:size]


def _parquet(size: int) -> bytes:
    rng = random.Random(2)
    count = size // 110
    file = io.BytesIO()
    rows = {
        "key": [f"{rng.getrandbits(128):032x}" for _ in range(count)],
        "sha256": [f"{rng.getrandbits(256):064x}" for _ in range(count)],
        "text": ["the weather was fine"] * count,
    }
    pq.write_table(pa.table(rows), file, compression="zstd", row_group_size=65_536)
    return file.getvalue()


def _tar_of_speech(folder: Path) -> tuple[bytes, float]:
    """A tar of FLAC at 16 kHz as runs write it, and how many seconds it holds."""
    path, seconds = folder / "speech.tar", 0.0
    with TarWriter(path) as writer:
        for number, clip in enumerate(clips()[:60]):
            samples, rate = soundfile.read(clip, dtype="float32", always_2d=True)
            seconds += len(samples) / rate
            file = io.BytesIO()
            soundfile.write(file, samples[:, 0], rate, format="FLAC")
            writer.add(f"{number:05d}.flac", file.getvalue())
        writer.close()
    return path.read_bytes(), seconds


def _speeds() -> Iterator[tuple[str, float, float]]:
    """(what, MB/s, seconds of sound per second or 0)."""
    noise, lines, parquet = np.random.default_rng(0).bytes(32 << 20), _json_lines(32 << 20), _parquet(16 << 20)
    deaf = {"raw_sound", "mp3"}
    for count in (10, 200, 2_000):
        needles = Needles(_words(count))
        walker, patterns = Walker(needles, frozenset(deaf)), count * 9
        yield f"words, {patterns:,} forms, packed bytes", *_rate(walker, noise)
        yield f"words, {patterns:,} forms, JSON", *_rate(walker, lines)
    yield "words, 1,800 keyed forms, JSON", *_rate(Walker(keyed(Needles(_words(200)), _KEY)), lines)
    few = Walker(Needles(_words(200)))
    yield "Parquet, zstd", *_rate(few, parquet)
    yield "gzip of JSON, 6 to 1", *_rate(few, gzip.compress(lines[: 8 << 20]))
    with tempfile.TemporaryDirectory() as name:
        tar, seconds = _tar_of_speech(Path(name))
    yield "FLAC in a tar, words only", *_rate(few, tar)
    known = Voices.of(_known(clips()[60:80]))
    yield "FLAC in a tar, words and voices", *_rate(Walker(Needles(_words(200), known)), tar, seconds)


def _rate(walker: Walker, data: bytes, seconds: float = 0.0) -> tuple[float, float]:
    walker.look(data[: 1 << 20])
    began = time.process_time()
    walker.look(data)
    spent = time.process_time() - began
    return len(data) / 1e6 / spent, seconds / spent


# --- voices -----------------------------------------------------------------------------------------------------------


def _read(clip: Path) -> Samples:
    samples, rate = soundfile.read(clip, dtype="float32", always_2d=True)
    resampled: Samples = soxr.resample(samples[:, 0], rate, _RATE_HZ).astype(np.float32)
    return resampled


def _known(known: list[Path]) -> Iterator[tuple[str, landmarks.Hashes, landmarks.Frames]]:
    for clip in known:
        at_rate = soxr.resample(_read(clip), _RATE_HZ, landmarks.RATE_HZ).astype(np.float32)
        yield clip.name, *landmarks.landmarks(at_rate)


def _through(form: str, subtype: str | None = None, rate: int = _RATE_HZ) -> Callable[[Samples], Samples]:
    def treat(samples: Samples) -> Samples:
        file = io.BytesIO()
        soundfile.write(file, soxr.resample(samples, _RATE_HZ, rate), rate, format=form, subtype=subtype)
        file.seek(0)
        read, back = soundfile.read(file, dtype="float32")
        treated: Samples = soxr.resample(read, back, _RATE_HZ).astype(np.float32)
        return treated

    return treat


def _noisy(samples: Samples) -> Samples:
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-20 / 20)
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples)).astype(np.float32)
    treated: Samples = (samples + level * noise).astype(np.float32)
    return treated


TREATMENTS: dict[str, Callable[[Samples], Samples]] = {
    "shifted": lambda samples: samples,
    "12 dB quieter": lambda samples: samples / np.float32(4),
    "12 dB louder, clipped": lambda samples: np.clip(4 * samples, -1, 1).astype(np.float32),
    "at 8 kHz": _through("WAV", "PCM_16", 8_000),
    "at 44.1 kHz": _through("WAV", "PCM_16", 44_100),
    "MP3": _through("MP3"),
    "Opus": _through("OGG", "OPUS"),
    "Vorbis": _through("OGG", "VORBIS"),
    "noise at 20 dB": _noisy,
}
_WINDOWS_S = (1, 2, 3, 5)


def _misses(known: list[Path], listener: Listener) -> Iterator[tuple[str, list[float]]]:
    """(treatment, share missed by length of the window)."""
    rng = random.Random(3)
    for name, treat in TREATMENTS.items():
        shares = []
        for seconds in _WINDOWS_S:
            tried = missed = 0
            for clip in known:
                samples = _read(clip)
                length = seconds * _RATE_HZ
                if len(samples) <= length:
                    continue
                begin = rng.randrange(len(samples) - length)
                tried += 1
                missed += clip.name not in _heard(listener, treat(samples[begin : begin + length]))
            shares.append(missed / tried)
        yield name, shares


def _heard(listener: Listener, samples: Samples) -> set[str]:
    found, _ = listener.listen(iter([(_RATE_HZ, samples[:, None])]))
    return {one.label for one in found}


def _voices() -> dict[str, object]:
    every = [clip for clip in clips() if "librispeech" in str(clip)]
    known = every[1::2]
    listener = Listener(Needles(voices=Voices.of(_known(known))))
    misses = dict(_misses(known, listener))
    others, false_alarms, heard_s = [clip for clip in clips() if clip not in known], 0, 0.0
    for clip in others:
        samples = _read(clip)
        heard_s += len(samples) / _RATE_HZ
        false_alarms += bool(_heard(listener, samples))
    head = ["missed", *(f"{seconds} s" for seconds in _WINDOWS_S)]
    print(table(head, [[name, *(f"{share:.1%}" for share in shares)] for name, shares in misses.items()]))
    print(f"\n{len(known)} known clips; {MIN_AGREEING} pairs must agree")
    print(f"false alarms: {false_alarms} of {len(others)} other clips, {heard_s / 60:.0f} min, each asked of all known")
    return {"misses": misses, "others": len(others), "false_alarms": false_alarms, "other_s": round(heard_s)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voices", action="store_true", help="misses and false alarms instead of speed")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    asked = parser.parse_args()
    try:
        if asked.voices:
            figures = _voices()
        else:
            rows = list(_speeds())
            shown = [[what, f"{rate:.0f}", f"{heard:.0f}" if heard else "–"] for what, rate, heard in rows]
            print(table(["one core", "MB/s", "times real time"], shown))
            figures = {what: {"mb_per_s": round(rate, 1), "x_real_time": round(heard, 1)} for what, rate, heard in rows}
    except NoAudio as error:
        sys.exit(str(error))
    if asked.json:
        Path(asked.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
