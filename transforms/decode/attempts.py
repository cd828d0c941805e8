"""Which reader's word is taken for a file, and how its channels become tracks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from schemas.errors import Reason, Rejected
from transforms.decode.config import DecodeConfig, ReaderName
from transforms.decode.ffmpeg import open_ffmpeg
from transforms.decode.libsndfile import open_libsndfile
from transforms.decode.passes import Mix, Pass, run_pass
from transforms.decode.stream import ReaderError, Stream, Trouble
from transforms.items import Decoded

_READERS: dict[ReaderName, Callable[[int], AbstractContextManager[Stream]]] = {
    "libsndfile": open_libsndfile,
    "ffmpeg": open_ffmpeg,
}

_RARE_RATIO = 1e-4
"""Float samples beyond full scale are clipped where they are rarer than this; else the whole file is scaled."""

_SILENCE = 1e-10
"""Power below which nothing can be said to cancel."""

_HEADER_OFF_S, _HEADER_OFF_RATIO = 0.5, 0.02
"""A header that is off by more than both is worth a note."""


class Attempts:
    """What each reader made of one file, or said of it."""

    def __init__(self, descriptor: int, folder: Path, config: DecodeConfig) -> None:
        self._descriptor, self._folder, self._config = descriptor, folder, config
        self._passes: dict[ReaderName, Pass] = {}
        self._refusals: dict[ReaderName, ReaderError] = {}

    def best(self) -> Decoded:
        """The first reader's work that came to its end, else the longest. Raises Rejected."""
        waiting = self._order()
        is_postponed = False
        while waiting:
            reader = waiting.pop(0)
            try:
                with _READERS[reader](self._descriptor) as stream:
                    if stream.may_change and waiting and not is_postponed:
                        is_postponed = True
                        waiting.append(reader)
                        continue
                    made = self._made(reader, stream)
                if not made.n_samples:
                    raise _nothing_came(made)
            except ReaderError as error:
                self._refusals[reader] = error
                continue
            self._passes[reader] = made
            if made.stopped is None:
                break
        if not self._passes:
            raise self._rejection()
        return self._chosen()

    def _order(self) -> list[ReaderName]:
        """Readers as configured, but for Ogg, which FFmpeg decodes in half of libsndfile's time (Opus and Vorbis)."""
        is_ogg = os.pread(self._descriptor, 4, 0) == b"OggS"
        return sorted(self._config.readers, key=lambda reader: is_ogg and reader != "ffmpeg")

    def _made(self, reader: ReaderName, stream: Stream) -> Pass:
        """One pass; and another where the first has shown that the channels cancel, or that floats need scaling."""
        usual = Mix("split" if self._config.channels == "split" else "mean")
        made = run_pass(stream, self._folder, _prefix(reader), self._config, usual)
        better, why = _better_mix(made, self._config)
        if better == usual:
            return made
        remove_spools(self._folder, reader)
        with _READERS[reader](self._descriptor) as again:
            made = run_pass(again, self._folder, _prefix(reader), self._config, better)
        return replace(made, notes=(*made.notes, *why))

    def _chosen(self) -> Decoded:
        # max keeps the first of equals: the reader that was tried first.
        reader = max(
            self._passes, key=lambda name: (round(self._passes[name].duration_s, 1), not self._passes[name].stopped)
        )
        for other in _READERS:
            if other != reader:
                remove_spools(self._folder, other)
        made = self._passes[reader]
        return Decoded(
            sample_rate_hz=made.format.sample_rate_hz,
            channels=made.format.channels,
            n_samples=made.n_samples,
            container=made.format.container,
            codec=made.format.codec,
            decoder=made.format.decoder,
            header_duration_s=made.format.header_duration_s,
            downmix=made.mix.name(made.format.channels),
            notes=self._notes(reader),
            tracks=made.tracks,
            channel_measurements=made.measurements,
        )

    def _notes(self, reader: ReaderName) -> tuple[str, ...]:
        made = self._passes[reader]
        notes = list(made.notes)
        if made.stopped:
            notes.append(f"stopped at {made.duration_s:.1f} s: {made.stopped}")
        claimed = made.format.header_duration_s
        if claimed is not None and _is_far(claimed, made.duration_s):
            notes.append(f"the header claims {claimed:.1f} s; {made.duration_s:.1f} s were decoded")
        for other, lost in self._passes.items():
            if other != reader:
                notes.append(f"{other} stopped at {lost.duration_s:.1f} s: {lost.stopped}")
        notes += [f"{name}: {error}" for name, error in self._refusals.items() if error.trouble is not Trouble.UNKNOWN]
        return tuple(notes)

    def _rejection(self) -> Rejected:
        detail = "; ".join(f"{reader}: {error}" for reader, error in self._refusals.items())
        troubles = {error.trouble for error in self._refusals.values()}
        if Trouble.FAILED in troubles:
            return Rejected(Reason.UNREADABLE, detail)
        if Trouble.EMPTY in troubles:
            return Rejected(Reason.EMPTY_AUDIO, detail)
        return Rejected(Reason.NOT_AUDIO if Trouble.NO_AUDIO in troubles else Reason.UNREADABLE, detail)


def _prefix(reader: ReaderName) -> str:
    return f"{reader}-c"


def remove_spools(folder: Path, *readers: ReaderName) -> None:
    """Remove what `readers` (all, if none is named) left in `folder`."""
    for reader in readers or _READERS:
        for path in folder.glob(f"{_prefix(reader)}*"):
            path.unlink()


def _nothing_came(made: Pass) -> ReaderError:
    if made.stopped:
        return ReaderError(made.stopped)
    return ReaderError("opened, and no sample came", Trouble.EMPTY)


def _is_far(claimed_s: float, decoded_s: float) -> bool:
    return abs(claimed_s - decoded_s) > max(_HEADER_OFF_S, _HEADER_OFF_RATIO * decoded_s)


def _better_mix(made: Pass, config: DecodeConfig) -> tuple[Mix, list[str]]:
    """The mix that the file should have had, and why it is another than the one it had."""
    mix, why = made.mix, []
    if made.format.is_float and made.exceeding_ratio > _RARE_RATIO:
        # A power of two: not one bit of a float is lost.
        mix = replace(mix, gain=2.0 ** -math.ceil(math.log2(made.peak)))
    if made.powers:
        *channels, mean = made.powers
        strongest = max(range(len(channels)), key=lambda channel: channels[channel])
        if channels[strongest] > _SILENCE and mean < channels[strongest] * 10 ** (-config.cancel_db / 10):
            mix = replace(mix, kind="one", channel=strongest)
            lost = f"{10 * math.log10(channels[strongest] / mean):.1f} dB" if mean > 0 else "everything"
            why.append(f"the mean of the channels lost {lost} against channel {strongest}, which was taken instead")
    return mix, why
