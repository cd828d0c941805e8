"""`provoice release export`: a release in a form that other tools read, by the same reading that training has."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

from lake.lake import Lake
from lake.releases import check_not_replaced, read_release
from lake.storage import Root
from pipelines.export.export import DEFAULT_SHARD_BYTES, Checked, export
from pipelines.export.record import ExportRecord, Form
from pipelines.export.samples import ExportSample
from pipelines.export.target import check_room
from provoice.export_lineage import Lineage, Overtaken
from provoice.loader.dataset import ReleaseDataset
from provoice.loader.opening import open_release
from provoice.loader.watch import Clock, utc_now
from provoice.words import hours, reasons, several
from schemas.errors import ConfigError, ConsentError
from schemas.releases import ReleaseRecord

_TRIES = 3
_LOG_EVERY_S = 30.0
log = logging.getLogger("provoice.export")


def export_release(
    lake_uri: str,
    name: str,
    version: int | None,
    out: str,
    form: Form,
    *,
    owner: str,
    purpose: str = "export",
    skip_denied: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    clock: Clock = utc_now,
) -> ExportRecord:
    """Exports a release to `out`, which must be empty, absent, or hold an unfinished export of the same.

    The opening is recorded in the ledger, and the ledger is asked once more when all is written: what somebody took
    back meanwhile is not in a finished export. Raises ConfigError for what is asked wrongly, and ConsentError where a
    row may not be used any more and `skip_denied` does not leave it out; then nothing is left at `out`.
    """
    lake = Lake.open(lake_uri)
    release = read_release(lake, name, version)
    check_not_replaced(release)
    _check_outside(lake, out)
    check_room(out, release, form)
    if not release.chosen.utterances:
        raise ConfigError(f"release {release.name}@{release.version} holds no utterance: there is nothing to export")
    Root(out).check_exclusive_create()  # before the ledger says that somebody took it there
    said = f"{purpose}: {form.value} at {Root(out).uri}"
    for _ in range(_TRIES):
        lineage = Lineage(lake, release, clock)
        dataset = _opened(lake_uri, release, owner, said, skip_denied=skip_denied, clock=clock)
        try:
            return export(
                _logged(lineage.samples(dataset), release), release, out, form, owner=owner, purpose=purpose,
                checked=lambda: _checked(lineage, dataset, release), shard_bytes=shard_bytes,  # noqa: B023  (called at once)
            )  # fmt: skip
        except Overtaken:
            log.warning("the ledger has changed about what was written; the export begins again")
        except ConsentError as error:
            raise _in_our_words(error) from None
    raise ConsentError(
        f"{_TRIES} times in a row, permissions were taken back while {release.name} was exported; nothing was left at "
        f"{out}, try again later"
    )


def _opened(
    lake_uri: str, release: ReleaseRecord, owner: str, purpose: str, *, skip_denied: bool, clock: Clock
) -> ReleaseDataset:  # fmt: skip
    try:
        # All of it, whatever a launcher's RANK says; and what leaves the lake leaves a trace, or does not leave.
        return open_release(
            lake_uri, release.name, release.version, owner=owner, purpose=purpose, fields=("audio", "json"),
            verify=True,
            on_denied="skip" if skip_denied else "refuse", record="require", rank=0, world_size=1, clock=clock,
        )  # fmt: skip
    except ConsentError as error:
        raise _in_our_words(error) from None


def _in_our_words(error: ConsentError) -> ConsentError:
    return ConsentError(str(error).replace('on_denied="skip"', "--skip-denied"))


def _checked(lineage: Lineage, dataset: ReleaseDataset, release: ReleaseRecord) -> Checked:
    """The last look. Raises Overtaken where what was written is not what may be used by now."""
    skipped = dataset.skipped
    if not lineage.still_holds() or lineage.utterances + sum(skipped.values()) != release.chosen.utterances:
        raise Overtaken("permissions were taken back meanwhile")
    return Checked(lineage.position, lineage.at(), skipped)


def _check_outside(lake: Lake, out: str) -> None:
    """An export within the lake, or its ledger, would be a copy that no erasure knows of."""
    uri = Root(out).uri
    for root in (lake.root, lake.ledger().root):
        if f"{uri}/".startswith(f"{root.uri}/") or f"{root.uri}/".startswith(f"{uri}/"):
            raise ConfigError(f"{uri} and {root.uri} lie within each other; export to a place outside")


def _logged(samples: Iterable[ExportSample], release: ReleaseRecord) -> Iterator[ExportSample]:
    """A line now and then."""
    last = time.monotonic()
    for count, sample in enumerate(samples):
        if time.monotonic() - last > _LOG_EVERY_S:
            last = time.monotonic()
            log.info("%s of %s exported", f"{count:,}", several(release.chosen.utterances, "utterance"))
        yield sample


def told(record: ExportRecord, out: str) -> str:
    """What a person reads at the end."""
    counted = (
        several(record.utterances, "utterance"),
        hours(record.audio_s),
        several(record.people, "person", "people"),
    )
    lines = [
        f"{record.release}@{record.version} as {record.form.value}: {', '.join(counted)}",
        f"checked at ledger position {record.checked_position}; decided at {record.decided_position}",
    ]
    if record.skipped:
        lines.append(f"left out, for they may no longer be used: {reasons(record.skipped)}")
    return "\n".join([*lines, f"{Root(out).uri_of('export.json')} says what is there", ""])
