"""An utterance's members as the dict that training code reads."""

from __future__ import annotations

import io
import json
from typing import Any

from provoice.loader.fetch import Members
from schemas.errors import LakeError

FIELDS = ("audio", "json", "txt")
"""What a sample may carry beside its key."""


def sample_of(members: Members, fields: frozenset[str], *, decode: bool) -> dict[str, Any]:
    """`__key__`; the audio under its codec's name as bytes, or with `decode` as `audio` (n,) float32 and
    `sample_rate_hz`; `json`, the utterance's row as a dict; `txt`, its transcript, where it has one.

    Raises LakeError where a member is not what its name says.
    """
    sample: dict[str, Any] = {"__key__": members.key}
    if "audio" in fields:
        if decode:
            sample["audio"], sample["sample_rate_hz"] = _decoded(members)
        else:
            sample[members.codec] = members.audio
    if members.json is not None:
        sample["json"] = _row(members)
    if members.text is not None:
        sample["txt"] = members.text.decode("utf-8", "replace")
    return sample


def _decoded(members: Members) -> tuple[Any, int]:
    import soundfile

    try:
        audio, rate = soundfile.read(io.BytesIO(members.audio), dtype="float32")
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise LakeError(f"the audio of {members.key} cannot be decoded: {said}") from None
    return audio, int(rate)


def _row(members: Members) -> dict[str, Any]:
    try:
        row = json.loads(members.json or b"")
    except ValueError:
        row = None
    if not isinstance(row, dict) or row.get("key") != members.key:
        raise LakeError(f"{members.key}.json is not the row of its utterance")
    return row
