"""One voice per track, taken on trust: nothing listens."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.sound import Region
from transforms.diarize.backend import Heard, labelled
from transforms.items import Recording


class SingleVoice:
    """All speech of a track is `spk00`'s (`spk01`'s on the next track)."""

    def model_ids(self) -> Mapping[str, str]:
        return {}

    def open(self) -> None:
        """There is no model."""

    def heard(self, recording: Recording) -> Heard:
        return Heard(labelled([_of_one(regions) for regions in recording.speech]))


def _of_one(regions: tuple[Region, ...]) -> list[tuple[Region, object]]:
    return [(region, None) for region in regions]
