"""Nothing that trains may report: by group, and by the bytes themselves."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict

import pytest

from tests.shared_audio import has_shared_audio, shared_audio
from training import split

pytestmark = pytest.mark.skipif(not has_shared_audio(), reason="real recordings are not beside the checkout")


def test_a_group_is_on_one_side_only() -> None:
    sides = defaultdict(set)
    for item in split.items():
        sides[item.kind, item.group].add(item.part)
    assert {group: parts for group, parts in sides.items() if len(parts) > 1} == {}


def test_bytes_are_on_one_side_only() -> None:
    sides = defaultdict(set)
    for item in split.items():
        sides[item.sha256].add(item.part)
    assert [sha256 for sha256, parts in sides.items() if len(parts) > 1] == []


def test_the_digests_are_those_of_the_files() -> None:
    for item in split.items():
        if item.part == "train":
            assert hashlib.sha256(item.file.read_bytes()).hexdigest() == item.sha256, item.path


def test_every_recording_has_a_part() -> None:
    with shared_audio("files.csv").open(newline="", encoding="utf-8") as file:
        paths = {row["path"] for row in csv.DictReader(file)}
    assert {item.path for item in split.items()} == paths
    assert {item.part for item in split.items()} == {"train", "report"}


def test_one_person_in_several_collections_has_one_side() -> None:
    people = defaultdict(set)
    for path, row in split.speaker_rows().items():
        people[row["speaker"]].add(split.part_of(path))
    assert all(len(parts) == 1 for parts in people.values())
    assert set(split.speakers("train")) & set(split.speakers("report")) == set()
    assert set(people) >= split.REPORT_SPEAKERS


def test_meetings_that_share_a_person_have_one_side() -> None:
    heard = defaultdict(set)
    for name in ("train.rttm", "development.rttm"):
        for line in shared_audio(f"meetings/{name}").read_text(encoding="utf-8").splitlines():
            heard[line.split()[7]].add(line.split()[1])
    part = {clip: part for part, groups in split.MEETING_GROUPS.items() for group in groups for clip in group}
    assert set().union(*heard.values()) == set(part)
    assert all(len({part[clip] for clip in clips}) == 1 for clips in heard.values())
    assert len(split.meetings("train")) == len([clip for clip in part.values() if clip == "train"])


def test_what_is_kept_for_reports_stays_there() -> None:
    for item in split.items():
        if item.path.startswith(("dry_and_reverberated/", "noisy_pairs/", "containers/", "overlap/")):
            assert item.part == "report", item.path


def test_both_sides_have_enough_of_everything() -> None:
    for part in ("train", "report"):
        assert len(split.speakers(part)) >= 80
        assert len(split.noises(part)) >= 4
        assert split.rooms(part)
        assert len(split.meetings(part)) >= 5
    reliable = [room for room in split.rooms("report") if split.room_rows()[room.path]["reliable"] == "1"]
    assert len({room.group for room in reliable}) >= 4


def test_a_file_may_be_named_by_where_it_lies() -> None:
    assert split.part_of(shared_audio("noise/waves.mp3")) == "train" == split.part_of("noise/waves.mp3")
    with pytest.raises(KeyError):
        split.part_of("noise/nothing.wav")
