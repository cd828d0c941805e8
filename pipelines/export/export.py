"""From opened samples to a finished export: the form's own files, Croissant beside them, `export.json` last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pipelines.export import huggingface, lhotse, nemo, webdataset
from pipelines.export.croissant import FILE, croissant_of_export
from pipelines.export.record import ExportRecord, Form
from pipelines.export.samples import ExportSample
from pipelines.export.target import Target, begun
from schemas.errors import ConsentError
from schemas.releases import ReleaseRecord

Write = Callable[[Iterable[ExportSample], ReleaseRecord, Target, int], None]
_WRITERS: dict[Form, Write] = {
    Form.WEBDATASET: webdataset.write,
    Form.LHOTSE: lhotse.write,
    Form.NEMO: nemo.write,
    Form.HUGGINGFACE: huggingface.write,
}
DEFAULT_SHARD_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """When and against what the samples were checked, as of their last one."""

    position: int
    at: datetime
    skipped: dict[str, int]
    """Rows left out because they may no longer be used, by reason."""


def export(
    samples: Iterable[ExportSample],
    release: ReleaseRecord,
    uri: str,
    form: Form,
    *,
    owner: str,
    purpose: str,
    checked: Callable[[], Checked],
    shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> ExportRecord:
    """Writes `samples` to `uri` in `form`, and returns what `export.json` says.

    `checked` is asked after the last sample. Raises ConfigError where something else lies at `uri`, and
    ConsentError where no sample comes. What stops it
    midway leaves no `export.json`, and the same call begins again.
    """
    with begun(uri, release, form) as target:
        count = _Count()
        _WRITERS[form](count.over(samples), release, target, shard_bytes)
        described = croissant_of_export(release, form, target.files, owner)
        target.put("croissant", FILE, described)
        until = checked()
        record = ExportRecord(
            form=form, release=release.name, version=release.version, release_sha256=release.sha256, owner=owner,
            purpose=purpose, decided_position=release.ledger_position, checked_position=until.position,
            checked_at=until.at, utterances=count.utterances, audio_s=round(count.audio_s, 6),
            people=len(count.people), skipped=dict(sorted(until.skipped.items())), files=tuple(target.files),
            audio_files=target.audio_files,
        )  # fmt: skip
        target.finish(record)
    return record


class _Count:
    """What passed by. Raises ConsentError in the end where that is nothing: an empty export would be taken for one."""

    def __init__(self) -> None:
        self.utterances = 0
        self.audio_s = 0.0
        self.people: set[str] = set()

    def over(self, samples: Iterable[ExportSample]) -> Iterator[ExportSample]:
        for sample in samples:
            self.utterances += 1
            self.audio_s += float(sample.row.get("duration_s") or 0.0)
            self.people.update(one.subject_id for one in sample.justifications)
            yield sample
        if not self.utterances:
            raise ConsentError("of this release, no utterance may be used any more: there is nothing to export")
