"""Lhotse's manifests: recordings with their supervisions beside them, or cuts, as JSON lines.

Source: https://lhotse.readthedocs.io (corpus, cuts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.catalogue_formats import Values, beside, place, read_rows
from pipelines.manifest_segments import Segment, columns_of, gathered, name_of, of_recording, seconds_of
from schemas.errors import ConfigError


def cut_rows(uri: str) -> Iterator[tuple[int, Values]]:
    def lines() -> Iterator[tuple[str, int, Values]]:
        for number, cut in read_rows(uri):
            if cut.get("type") not in ("MonoCut", "MultiCut") or not isinstance(cut.get("recording"), dict):
                said = (
                    "only cuts of one recording say whose voice is in it; give MonoCut or MultiCut with its recording"
                )
                raise ConfigError(f"{place(uri, number)}: a {cut.get('type')}: {said}")
            yield str(cut["recording"].get("id")), number, cut

    for group in gathered(lines()):
        number, first = group[0]
        segments: list[Segment] = []
        for line, cut in group:
            if cut["recording"].get("sources") != first["recording"].get("sources"):
                raise ConfigError(
                    f"{place(uri, line)}: recording {first['recording'].get('id')} has other sources in line {number}"
                )
            begin = seconds_of(cut.get("start", 0.0), f"{place(uri, line)}: `start`")
            custom = of_recording(cut["recording"].get("custom") or {}) | of_recording(cut.get("custom") or {})
            where = place(uri, line)
            segments.append(Segment(where, begin, begin, columns=custom))
            segments += [_supervised(part, where, begin, custom) for part in cut.get("supervisions", ())]
        yield from _files(uri, number, first["recording"], segments)


def recording_rows(uri: str) -> Iterator[tuple[int, Values]]:
    head, slash, name = uri.rpartition("/")
    if "recordings" not in name:
        raise ConfigError(
            f"{uri}: a recordings manifest is called …recordings….jsonl, so that its supervisions are found"
        )
    supervisions = f"{head}{slash}{'supervisions'.join(name.rsplit('recordings', 1))}"

    def lines() -> Iterator[tuple[str, int, Values]]:
        for number, recording in read_rows(uri):
            yield str(recording.get("id")), number, {"recording": recording}
        for number, supervision in read_rows(supervisions):
            yield str(supervision.get("recording_id")), number, {"supervision": supervision}

    for group in gathered(lines()):
        owners = [(number, said["recording"]) for number, said in group if "recording" in said]
        spoken = [(number, said["supervision"]) for number, said in group if "supervision" in said]
        if not owners:
            where = place(supervisions, spoken[0][0])
            raise ConfigError(f"{where}: recording {spoken[0][1].get('recording_id')!r} is not in {uri}")
        if len(owners) > 1:
            raise ConfigError(
                f"{place(uri, owners[1][0])}: recording {owners[0][1].get('id')!r} stands in line {owners[0][0]}"
            )
        number, recording = owners[0]
        custom = of_recording(recording.get("custom") or {})
        segments = [Segment(place(uri, number), 0.0, 0.0, columns=custom)]
        segments += [_supervised(said, place(supervisions, line), 0.0, custom) for line, said in spoken]
        yield from _files(uri, number, recording, segments)


def _supervised(said: Values, where: str, begin_s: float, custom: Mapping[str, Any]) -> Segment:
    start_s = max(0.0, round(begin_s + seconds_of(said.get("start", 0.0), f"{where}: `start`"), 6))
    end_s = round(begin_s + said.get("start", 0.0) + seconds_of(said.get("duration"), f"{where}: `duration`"), 6)
    channel = said.get("channel", 0)
    own = dict(said.get("custom") or {})
    of_person = {
        name: str(said.get(name) or own.pop(name))
        for name in ("gender", "age_group")
        if said.get(name) or own.get(name)
    }
    columns = ({"language": said["language"]} if said.get("language") else {}) | dict(custom) | of_recording(own)
    channels = tuple(channel) if isinstance(channel, list) else (int(channel),)
    return Segment(where, start_s, end_s, channels, name_of(said.get("speaker")), said.get("text"), of_person, columns)


def _files(
    uri: str, number: int, recording: Mapping[str, Any], segments: Sequence[Segment]
) -> Iterator[tuple[int, Values]]:
    """One row per file of the recording: a meeting may have a file per microphone."""
    where = place(uri, number)
    if recording.get("transforms"):
        raise ConfigError(
            f"{where}: recording {recording.get('id')!r} is augmented; give the manifest of what was recorded"
        )
    for source in recording.get("sources") or [{}]:
        if source.get("type") not in ("file", "url"):
            raise ConfigError(f"{where}: a source of type {source.get('type')!r} is no file that could be listed")
        yield (
            number,
            columns_of(
                beside(uri, str(source["source"])),
                segments,
                tuple(source.get("channels") or (0,)),
                recording.get("duration"),
            ),
        )
