"""People who are planted, heard in a release, a report and an export, and erased while runs go on adding others.

    python -m benchmarks.canaries [--erase 1 10 100] [--others 30] [--json FILE]

Each person has two recordings of 3 s, stretches of real speech that come nowhere else, with a transcript and a label of
their own. For each count: sealed, withdrawn and erased together, beside another process that runs over new recordings
again and again; then every byte of the lake and its ledger is scanned, what is left is compared with what was there,
the release that replaces theirs is loaded, and their recordings are offered once more, under other names as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.corpus import NoAudio, clips
from benchmarks.tables import table
from lake.storage import Root
from pipelines.erase.certificate import newest_certificate
from pipelines.erase.erase import Wanted, erase
from pipelines.verify.scan import look_at, targets
from pipelines.verify.seal import read_seal
from pipelines.verify.walk import Walker
from provoice.audit import Asked, scan_text, seal_text
from tests.builders import RATE_HZ
from tests.canary_lake import (
    Place,
    Stretch,
    changed,
    committed_between,
    going_on,
    loads,
    picture,
    plant,
    taken_in_again,
)
from tests.erasures import withdrawn

_STRETCH_S = 3.0
_RECORDINGS = 2
_LATE = 20
_BATCH = 4
_SETTINGS = ("workers=1", "plan.unit_max_sources=10")


def stretches() -> Iterator[Stretch]:
    """Pieces of real speech at RATE_HZ, each of other samples."""
    length = round(_STRETCH_S * RATE_HZ)
    for clip in clips():
        samples, rate = soundfile.read(clip, dtype="float64", always_2d=True)
        if rate == RATE_HZ and "librispeech" in str(clip):
            yield from (samples[at : at + length, 0] for at in range(0, len(samples) - length + 1, length))


def measure(place: Place, gone: Sequence[str], everybody_gone: Sequence[str]) -> dict[str, Any]:
    """Seals, withdraws, erases and scans, beside a run that goes on; then asks what must hold."""
    seal = place.folder / f"{len(gone)}.seal"
    withdrawn(place.lake, *gone)
    seal_text(place.lake_uri, tuple(gone), str(seal), as_json=True)
    needles = read_seal(str(seal))
    before, began = picture(place.lake), datetime.now(UTC)
    outcome = erase(place.lake, Wanted(tuple(gone)))
    ended = datetime.now(UTC)
    told = scan_text(Asked(place.lake_uri, str(seal), finish=True, workers=1), as_json=False)
    after = picture(place.lake)
    loaded, wrong_rows = loads(place, before, everybody_gone)
    certificate = newest_certificate(place.lake, outcome.erasure.number).certificate
    wrong = changed(before, after, gone)
    sys.stderr.write("".join(f"changed: {name}\n" for name in wrong))
    exported = _found_in_exports(place, needles)
    report = told.report
    return {
        "people": len(gone),
        "recordings": certificate.recordings,
        "units": len(certificate.units),
        "erased_s": round((ended - began).total_seconds(), 1),
        "committed_meanwhile": committed_between(place.lake, began, ended),
        "needles": sum(report.looked_for.values()),
        "scanned_objects": report.objects,
        "scanned_mb": round(report.size_bytes / 1e6, 1),
        "sound_s": round(report.sound_s),
        "hits": len(report.unexpected),
        "not_opened": len(report.not_opened),
        "certificate": certificate.status,
        "others_changed": len(wrong),
        "others_members": sum(name in after.members for name in before.members),
        "release_rows": loaded,
        "release_wrong": len(wrong_rows),
        "export_hits": exported,
        "export_named": sum("exports" in copy.what for copy in certificate.copies),
    }


def _found_in_exports(place: Place, needles: Any) -> int:
    """What left the lake before is out of reach, and a scan that is pointed there says so."""
    walker = Walker(needles)
    return sum(len(look_at(walker, one, ()).hits) for one in targets([Root(str(place.folder / "exports"))]))


def run(folder: Path, counts: Sequence[int], others: int) -> dict[str, Any]:
    people, late = _people(sum(counts), others)
    began = time.monotonic()
    place = plant(folder, people, _SETTINGS)
    sys.stderr.write(f"planted {len(people)} people in {time.monotonic() - began:.0f} s\n")
    waiting = [name for name in people if name.startswith("canary")]
    # Far apart in the order of a plan, which is by person.
    waiting = waiting[::7] + [name for n, name in enumerate(waiting) if n % 7]
    found, gone, began_at = [], [], datetime.now(UTC)
    with going_on(place, late, _BATCH):
        for count in counts:
            some, waiting = waiting[:count], waiting[count:]
            gone += some
            found.append(measure(place, some, gone))
            sys.stderr.write(json.dumps(found[-1]) + "\n")
    beside = committed_between(place.lake, began_at, datetime.now(UTC))
    return {"erased": found, "committed_beside": beside, "again": taken_in_again(place, gone, "other-00000")}


def _people(canaries: int, others: int) -> tuple[Mapping[str, list[Stretch]], list[Stretch]]:
    every = stretches()
    late = [next(every) for _ in range(_LATE)]
    names = [f"other-{n:05d}" for n in range(others)] + [f"canary-{7919 * n % 99991:05d}" for n in range(canaries)]
    people = {name: [one for _, one in zip(range(_RECORDINGS), every, strict=False)] for name in sorted(names)}
    if short := [name for name, own in people.items() if len(own) < _RECORDINGS]:
        raise NoAudio(f"there is not speech enough for {len(short)} of {len(people)} people: ask for fewer")
    return people, late


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.canaries", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--erase", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--others", type=int, default=30)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(words)
    for name in ("PROVOICE_SUPPRESSION_KEY", "PROVOICE_AUDIT_KEY"):
        os.environ.setdefault(name, "a key for a lake that is thrown away")
    with tempfile.TemporaryDirectory(prefix="provoice-canaries-") as folder:
        try:
            said = run(Path(folder), asked.erase, asked.others)
        except NoAudio as error:
            sys.exit(str(error))
    found = said["erased"]
    names = list(found[0])
    head = [names[0], *(str(one[names[0]]) for one in found)]
    print(table(head, [[name, *(str(one[name]) for one in found)] for name in names[1:]]))
    print(f"\nsources that the runs beside it committed: {said['committed_beside']}")
    print(f"offered once more, under their own and under other names: {said['again']}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(said, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
