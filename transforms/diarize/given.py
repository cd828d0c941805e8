"""Turns that somebody else has told: RTTM files that are brought along."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from schemas.errors import ConfigError, Reason, Rejected
from schemas.sound import Region
from transforms.diarize.backend import Heard, labelled
from transforms.diarize.rttm import RttmIndex, RttmTurn, parse_rttm, uri_forms
from transforms.items import Recording, Track


class GivenTurns:
    """Turns from RTTM: from the file or folder `place`, or, where that is None, from `<name>.rttm` beside the source.

    In a folder, the file of the recording's own name comes first (`a/b.rttm` or `b.rttm` for `a/b.wav`), then what any
    file directly in the folder says of it. Names may differ in how accents are spelt, and may lack them.
    """

    def __init__(self, place: str | None) -> None:
        self._place = None if place is None else Path(place)

    def model_ids(self) -> Mapping[str, str]:
        if self._place is not None and not self._place.exists():
            raise ConfigError(f"diarize.rttm: there is no file or folder {self._place}")
        return {}

    def open(self) -> None:
        """Reads the file, where there is one for all."""
        self.model_ids()
        if self._place is not None and self._place.is_file():
            self._index.uris()

    def heard(self, recording: Recording) -> Heard:
        """Raises Rejected(TURNS_MISSING) where no RTTM speaks of the recording, or none that can be read."""
        if recording.decoded is None:
            raise RuntimeError("turns are told of decoded recordings")
        try:
            turns = self._turns(recording)
        except ConfigError as error:
            raise Rejected(Reason.TURNS_MISSING, str(error)) from None
        if not turns:
            looked = self._place or recording.local_path.with_suffix(".rttm").name
            raise Rejected(Reason.TURNS_MISSING, f"no turn of {recording.source.path} in {looked}")
        tracks = recording.decoded.tracks
        by_track = [_on_track(track, turns, len(tracks) > 1) for track in tracks]
        if not any(by_track):
            raise Rejected(Reason.TURNS_MISSING, f"every turn of {recording.source.path} lies beyond its end")
        return Heard(labelled(by_track))

    def _turns(self, recording: Recording) -> list[RttmTurn]:
        for path in self._own_files(recording):
            if path.is_file():
                index = RttmIndex(_read(path))
                return index.of(_names(recording)) or index.only()
        return [] if self._place is None else self._index.of(_names(recording))

    def _own_files(self, recording: Recording) -> Iterator[Path]:
        """Where a file that speaks of this recording alone may lie, likeliest first."""
        if self._place is None:
            folder, names = recording.local_path.parent, [recording.local_path.stem]
        elif self._place.is_dir():
            inner = PurePosixPath(recording.source.path).with_suffix("")
            folder, names = self._place, [str(inner), inner.name]
        else:
            return
        for name in names:
            for form in (name, *uri_forms(name), unicodedata.normalize("NFD", name)):
                yield folder / f"{form}.rttm"

    @cached_property
    def _index(self) -> RttmIndex:
        """Everything that the file, or the files directly in the folder, say; read once, when first needed."""
        if self._place is None:
            return RttmIndex([])
        files = [self._place] if self._place.is_file() else sorted(self._place.glob("*.rttm"))
        return RttmIndex([turn for path in files for turn in _read(path)])


def _read(path: Path) -> list[RttmTurn]:
    try:
        return parse_rttm(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the turns in {path}: {error}") from None


def _names(recording: Recording) -> list[str]:
    """What an RTTM may call this recording."""
    path = PurePosixPath(recording.source.path)
    return [str(path.with_suffix("")), str(path), path.stem, path.name, recording.recording_id]


def _on_track(track: Track, turns: list[RttmTurn], is_one_of_several: bool) -> list[tuple[Region, object]]:
    """A track's turns in its own samples. Where there is one track, the RTTM's channels are all on it."""
    found: list[tuple[Region, object]] = []
    for turn in turns:
        if is_one_of_several and turn.channel != track.channel:
            continue
        start = round(turn.start_s * track.sample_rate_hz)
        end = min(track.n_samples, round(turn.end_s * track.sample_rate_hz))
        if start < end:
            found.append((Region(start, end), turn.speaker))
    return found
