"""NeMo's ASR manifest: JSON lines with audio_filepath, duration, offset, text, speaker.

Source: https://docs.nvidia.com/nemo-framework (speech, ASR, datasets).
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.catalogue_formats import Values, beside, place, read_rows
from pipelines.manifest_segments import Segment, columns_of, gathered, name_of, of_recording, seconds_of
from schemas.errors import ConfigError

_NEMO = ("audio_filepath", "duration", "offset", "text", "speaker", "gender", "age_group", "lang")


def nemo_rows(uri: str) -> Iterator[tuple[int, Values]]:
    """Catalogue columns of each audio file, with the first line that names it."""

    def lines() -> Iterator[tuple[str, int, Values]]:
        for number, values in read_rows(uri):
            audio = values.get("audio_filepath")
            if not isinstance(audio, str):
                raise ConfigError(f"{place(uri, number, 'audio_filepath')}: every line of a NeMo manifest names a file")
            yield beside(uri, audio), number, values

    for group in gathered(lines()):
        number, first = group[0]
        segments = [_nemo_segment(values, place(uri, line)) for line, values in group]
        yield number, columns_of(beside(uri, first["audio_filepath"]), segments, None)


def _nemo_segment(values: Values, where: str) -> Segment:
    known = {"language": values["lang"]} if "lang" in values else {}
    rest = {name: value for name, value in values.items() if name not in _NEMO}
    start_s, end_s = 0.0, None
    if "offset" in values:
        start_s = seconds_of(values["offset"], f"{where}: `offset`")
        end_s = round(start_s + seconds_of(values.get("duration"), f"{where}: `duration`"), 6)
    return Segment(
        where,
        start_s,
        end_s,
        (),
        name_of(values.get("speaker")),
        values.get("text"),
        {name: values[name] for name in ("gender", "age_group") if name in values},
        known | of_recording(rest),
    )
