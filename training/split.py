"""Which real recordings may train, choose or tune anything, and which only report how well it does.

This is the one place that says so, and everybody imports it: the network's recipe here, `benchmarks.accuracy`, whatever
tunes a threshold. `part_of(path)` answers for one file of the folder of real recordings (`../shared/audio`, or
`PROVOICE_AUDIO`); `speakers`, `noises`, `rooms` and `meetings` list what a part holds.

Sides are kept by group, not by file: a person who was recorded for three collections, the places of one room, meetings
that share a person, and two encodings of one recording are always on one side. `train` includes what validates while
training. Whatever this page does not name is `report`, so that nothing new can slip into training.

Pure Python over `files.csv`, `speakers.csv` and `rooms.csv`; nothing is decoded.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.corpus import audio_folder

Part = Literal["train", "report"]
Kind = Literal["speech", "noise", "music", "room", "meeting", "other"]

REPORT_SHORT = (
    "32 60 89 103 289 298 311 374 405 441 445 625 831 839 887 909 1040 1069 1081 1088 1355 1363 1447 1455 1743 1992"
    " 2182 2384 2514 2817 2893 3214 3242 3699 3723 3857 4014 4267 4340 4481 4640 4680 5339 5561 5652 5678 5688 5778"
    " 5808 6000 6019 6064 6147 6181 6209 6385 6454 6531 6563 7067 7226 7278 7447 7505 7780 8014 8063 8088 8095 8098"
    " 8324 8425 8468 8747 8770 8797 8838 8975"
)
"""LibriSpeech train-clean-100: half of its people, drawn once (1088 is here because of `dry_and_reverberated`)."""

_REPORT_LONG = ("ls1998", "ls2414", "ls533", "p226", "p255", "p260", "p287", "p301", "p376", "ls3575", "ls8230")
_REPORT_DIGITS = ("fsdd_nicolas", "fsdd_theo", "fsdd_yweweler")
REPORT_SPEAKERS = frozenset({*_REPORT_LONG, *_REPORT_DIGITS, *(f"ls{number}" for number in REPORT_SHORT.split())})
"""Every other person of `speakers.csv` is `train`."""

TRAIN_NOISE = (
    "noise/waves.mp3", "noise/fireplace.mp3", "noise/sb_noise1.wav", "noise/sb_noise2.wav", "noise/sheep.ogg",
    "codecs/audiomentations/perfect-alley1.ogg", "codecs/audiomentations/bus.opus", "codecs/audiomentations/tap.wav",
)  # fmt: skip
"""Every other noise (rain, a city, hens, speechbrain's third, MUSAN's mix) is `report`."""
TRAIN_MUSIC = ("codecs/audiomentations/acoustic_guitar_0.wav", "codecs/flac-test-files/")

MEETING_GROUPS = {
    "train": (("trn00", "trn01", "trn02", "trn03"), ("trn04",), ("trn07", "trn08")),
    "report": (("dev00", "dev01"), ("trn05",), ("trn06", "trn09")),
}
"""AMI clips, those that share a person together."""

_ROOM_GROUPS = {"rooms/otala_": "otala", "rooms/sb_rir": "speechbrain"}
_TRAIN_ROOMS = ("speechbrain", "rooms/openair_living_room_1.wav")


@dataclass(frozen=True, slots=True)
class Item:
    """One file. `group` is whoever or whatever may not be on both sides; `path` is within the folder."""

    path: str
    kind: Kind
    group: str
    part: Part
    sha256: str

    @property
    def file(self) -> Path:
        return audio_folder() / self.path


@cache
def items() -> tuple[Item, ...]:
    """Every sound of the folder, by path. Raises `benchmarks.corpus.NoAudio` where the folder is absent."""
    people = speaker_rows()
    return tuple(
        Item(path, *_judged(path, people.get(path, {}).get("speaker")), sha256=row["sha256"])
        for path, row in sorted(_rows("files.csv").items())
    )


def speaker_rows() -> dict[str, dict[str, str]]:
    """`speakers.csv` by path."""
    return _rows("speakers.csv")


def room_rows() -> dict[str, dict[str, str]]:
    """`rooms.csv` by path."""
    return _rows("rooms.csv", "file")


def part_of(path: str | Path) -> Part:
    """Side of a file, named within the folder or by where it lies. Raises KeyError where the folder has no such."""
    inside = Path(path).relative_to(audio_folder()) if Path(path).is_absolute() else Path(path)
    return {item.path: item.part for item in items()}[inside.as_posix()]


def speakers(part: Part) -> dict[str, list[Item]]:
    """Clean clips of each person (not the noisy or reverberated twins), by speaker."""
    found: dict[str, list[Item]] = {}
    for item in _of("speech", part):
        if "/noisy/" not in item.path and not item.path.endswith("_rvb.wav"):
            found.setdefault(item.group, []).append(item)
    return found


def noises(part: Part) -> list[Item]:
    """Noise recordings. MUSAN's mix (`music/`) holds speech too: its CSV says where."""
    return list(_of("noise", part))


def music(part: Part) -> list[Item]:
    return list(_of("music", part))


def rooms(part: Part) -> list[Item]:
    """Measured responses; `room_rows` says which are `reliable`."""
    return list(_of("room", part))


def meetings(part: Part) -> list[Item]:
    """AMI clips of 30 s."""
    return list(_of("meeting", part))


def _of(kind: Kind, part: Part) -> Iterator[Item]:
    return (item for item in items() if item.kind == kind and item.part == part)


def _judged(path: str, speaker: str | None) -> tuple[Kind, str, Part]:
    """Kind, group and part of a file."""
    if speaker:
        return "speech", speaker, "report" if speaker in REPORT_SPEAKERS else "train"
    if path.startswith("rooms/"):
        group = next((group for start, group in _ROOM_GROUPS.items() if path.startswith(start)), path)
        return "room", group, "train" if group in _TRAIN_ROOMS else "report"
    if path.startswith("meetings/") and Path(path).stem != "empty":
        return _meeting(path)
    if path.startswith("noise/") or path in TRAIN_NOISE:
        return "noise", path, "train" if path in TRAIN_NOISE else "report"
    if path.startswith(("music/", *TRAIN_MUSIC)):
        group = path.split("/")[1] if path.startswith("codecs/") else "music/musanmix"
        return "music", group, "train" if path.startswith(TRAIN_MUSIC) else "report"
    return "other", "tinytag" if path.startswith("codecs/tinytag/") else path, "report"


def _meeting(path: str) -> tuple[Kind, str, Part]:
    # One file is called trñ00, and trn00 in the RTTM.
    name = Path(path).stem.replace("n\u0303", "n").replace("ñ", "n")
    for part, groups in MEETING_GROUPS.items():
        for group in groups:
            if name in group:
                return "meeting", "+".join(group), "train" if part == "train" else "report"
    return "meeting", name, "report"


@cache
def _rows(name: str, key: str = "path") -> dict[str, dict[str, str]]:
    with (audio_folder() / name).open(newline="", encoding="utf-8") as file:
        return {row[key]: row for row in csv.DictReader(file)}
