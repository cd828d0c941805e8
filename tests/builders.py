"""Small real lakes with known rows, written by the functions that a run writes with; nothing is decoded.

`write_run` makes one run out of what is to become of each source; `small_lake` makes the lake that most tests ask:
three runs, rows that supersede each other, every status, consent in several states, a run that is not done, an orphan.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from lake.commits import create_commit
from lake.lake import Lake
from lake.parts import write_part
from lake.runs import create_run, put_plan
from pipelines.gate import Held
from pipelines.plan import PlannedSource, Unit
from pipelines.prepare import Outcome, Piece
from pipelines.rows import Row, RunNames, recording_row, utterance_row
from pipelines.shards import write_objects
from pipelines.unit import account
from schemas import ids
from schemas.catalogue import CatalogueRow, Role, Subject
from schemas.consent import Binding, ConsentLink, DenyReason
from schemas.errors import Reason, Rejected
from schemas.ledger import EventType
from schemas.records import Commit, RunRecord
from schemas.sound import Region, Turn
from schemas.source import Source
from schemas.tables import PLAN_SCHEMA
from tests.consents import ended, given, grant, rule
from tests.transforms.builders import bare_track, decoded_of, tone
from transforms.items import Accent, Measurements, Recording, Utterance

ROOT = "raw"
RATE_HZ = 16_000
BEGAN = datetime(2026, 6, 1, 12, tzinfo=UTC)
UTTERANCE_S = 1.0
"""Every utterance is one second of a tone, the next begins half a second after it."""


@dataclass(frozen=True)
class Made:
    """A source, and what is to become of it: emitted with `utterances`, else put aside for `reason`."""

    path: str
    people: Mapping[str, str | None] = field(default_factory=dict)
    """Subject to the grant it is taken in on."""
    utterances: int = 0
    reason: Reason | DenyReason | None = None
    version: str = "v1"
    complete: bool = True
    accent: Accent | None = None
    text: str | None = None
    language: str | None = None
    measured: Mapping[str, float | None] = field(default_factory=dict)
    cuts_rejected: Mapping[Reason, int] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        return Source(ROOT, self.path, self.version, 48_000)

    @property
    def duration_s(self) -> float:
        return 1.5 * max(1, self.utterances) + 0.5


def key_of(made: Made, n: int = 0) -> str:
    """The key of the source's utterance `n`."""
    return ids.utterance_key(made.source.recording_id, 0, *_span(n), "spk00")


def _span(n: int) -> tuple[int, int]:
    start = round(1.5 * n * RATE_HZ)
    return start, start + round(UTTERANCE_S * RATE_HZ)


@lru_cache
def flac() -> bytes:
    """One second of a tone."""
    file = io.BytesIO()
    soundfile.write(file, tone(UTTERANCE_S), RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _planned(made: Made) -> PlannedSource:
    row = CatalogueRow(
        subjects=tuple(Subject(subject_id=person) for person in made.people),
        complete=made.complete,
        language=made.language,
        text=made.text,
    )
    return PlannedSource(made.source, row, row.sha256, made.duration_s)


def _recording(made: Made, planned: PlannedSource) -> Recording:
    track = bare_track(round(made.duration_s * RATE_HZ), RATE_HZ)
    regions = tuple(Region(*_span(n)) for n in range(made.utterances))
    return Recording(
        source=made.source,
        source_sha256=hashlib.sha256(made.path.encode()).hexdigest(),
        local_path=Path(made.path),
        catalogue=planned.catalogue or CatalogueRow(),
        decoded=decoded_of([track]),
        speech=(regions,),
        turns=(tuple(Turn(region, "spk00") for region in regions),),
        voices=len(made.people) or None,
        models={"silero_vad": "6.2.3 sha256:00"},
    )


def _outcome(made: Made, planned: PlannedSource, names: RunNames, scratch: BinaryIO) -> Outcome:
    if isinstance(made.reason, DenyReason):
        held = Held(made.reason, f"{made.reason.value}: made for a test")
        return Outcome(planned, recording_row(planned, names, None, outcome=held))
    if isinstance(made.reason, Reason):
        rejected = Rejected(made.reason, "made for a test", "decode")
        row = recording_row(planned, names, None, outcome=rejected, cuts_rejected=made.cuts_rejected)
        return Outcome(planned, row)
    recording = _recording(made, planned)
    binding = Binding.SOLE if len(made.people) == 1 else Binding.RECORDING
    links = [ConsentLink(person, g, Role.SPEAKER, binding) for person, g in made.people.items()]
    pieces = [_piece(made, n, planned, recording, links, names, scratch) for n in range(made.utterances)]
    row = recording_row(
        planned, names, recording, outcome=None, utterances=[piece.row for piece in pieces],
        cuts_rejected=made.cuts_rejected, links=links, complete=made.complete,
    )  # fmt: skip
    return Outcome(planned, row, pieces)


def _piece(
    made: Made, n: int, planned: PlannedSource, recording: Recording, links: Sequence[ConsentLink], names: RunNames,
    scratch: BinaryIO,
) -> Piece:  # fmt: skip
    region = Region(*_span(n))
    values = {"snr_db": 20.0 + n, "loudness_lufs": -23.0, "speech_ratio": 1.0, "peak_dbfs": -17.0, **made.measured}
    utterance = Utterance(
        key=key_of(made, n),
        recording_id=made.source.recording_id,
        track=bare_track(round(made.duration_s * RATE_HZ), RATE_HZ),
        region=region,
        speaker="spk00",
        catalogue=recording.catalogue,
        samples=tone(0.0),
        speech=(),
        measurements=Measurements(**values),
        accent=made.accent,
        text=made.text,
    )
    row = utterance_row(utterance, planned, recording, links, made.complete, names)
    row["audio_sha256"] = hashlib.sha256(flac()).hexdigest()
    offset = scratch.tell()
    scratch.write(flac())
    return Piece(row, offset, len(flac()))


def write_run(
    lake: Lake,
    folder: Path,
    units: Sequence[Sequence[Made]],
    *,
    run_id: str,
    recipe: str = "a",
    committed: int | None = None,
    ledger_position: int = 0,
    **record: Any,
) -> RunRecord:
    """The next run of `lake`, with its plan; the first `committed` units (all, unless told) are written and committed.
    `folder` is for what is written before it is put into the lake."""
    number = 1 + sum(1 for _ in lake.root.list("runs") if _.path.endswith("run.0.json"))
    planned = [_unit(index, sources) for index, sources in enumerate(units)]
    plan = folder / f"plan-{number}.parquet"
    write_part(plan, [row for unit in planned for row in _plan_rows(unit)], PLAN_SCHEMA)
    values: dict[str, Any] = {
        "number": number,
        "run_id": run_id,
        "recipe_sha256": recipe * 64,
        "roots": {ROOT: "/data/raw"},
        "plan": put_plan(lake, plan, number),
        "units": len(planned),
        "sources": sum(len(unit.sources) for unit in planned),
        "estimated_s": sum(unit.estimated_s for unit in planned),
        "created_at": BEGAN + timedelta(days=number),
    }
    run = create_run(lake, RunRecord(**{**values, **record}))
    for unit, sources in list(zip(planned, units, strict=True))[:committed]:
        _commit(lake, run, unit, sources, folder, ledger_position)
    return run


def _unit(index: int, sources: Iterable[Made]) -> Unit:
    planned = tuple(_planned(made) for made in sources)
    name = ids.unit_id(index, [p.source.recording_id for p in planned])
    return Unit(index, name, planned, sum(p.estimated_s for p in planned), 3600.0)


def _plan_rows(unit: Unit) -> Iterable[Row]:
    for planned in unit.sources:
        yield {
            "unit_index": unit.index,
            "unit_id": unit.unit_id,
            "recording_id": planned.source.recording_id,
            "source_root": planned.source.root,
            "source_path": planned.source.path,
            "source_version": planned.source.version,
            "source_size_bytes": planned.source.size_bytes,
            "estimated_s": planned.estimated_s,
            "deadline_s": unit.deadline_s,
            "catalogue_row": planned.catalogue.to_json() if planned.catalogue else None,
            "catalogue_row_sha256": planned.catalogue_row_sha256,
        }


def _commit(lake: Lake, run: RunRecord, unit: Unit, sources: Sequence[Made], folder: Path, position: int) -> None:
    names = RunNames(run.run_id, unit.unit_id, run.recipe_sha256)
    scratch = io.BytesIO()
    outcomes = [_outcome(made, planned, names, scratch) for made, planned in zip(sources, unit.sources, strict=True)]
    objects = write_objects(
        outcomes, scratch, names, folder / f"{run.number}-{unit.unit_id}",
        codec="flac", shard_max_bytes=1 << 30, declared_columns={},
    )  # fmt: skip
    for done in objects:
        lake.root.put(done.stored.path, done.local_path, done.stored.sha256)
    at = run.created_at + timedelta(minutes=unit.index + 1)
    create_commit(
        lake,
        Commit(
            run_id=run.run_id, unit_id=unit.unit_id, writer="made", recipe_sha256=run.recipe_sha256,
            objects=tuple(done.stored for done in objects), counts=account(outcomes, unit), ledger_position=position,
            decided_at=at, committed_at=at, seconds={"decode": 0.02, "detect_speech": 0.01}, wall_s=60.0, host="made",
        ),
    )  # fmt: skip


SCOTTISH = Accent("Scottish", "made-1", "declared")
IRISH = Accent("Irish", "made-1", "predicted", 0.8)

ANNA = Made("a/anna.wav", {"anna": "g-anna"}, 2, accent=SCOTTISH, language="en-GB", text="good morning")
BEN = Made("a/ben.mp3", {"ben": "g-ben"}, 1, accent=IRISH, measured={"snr_db": None, "c50_db": 12.0})
BOTH = Made("b/both.flac", {"anna": "g-anna", "ben": "g-ben"}, 2, cuts_rejected={Reason.TOO_SHORT: 3})
BOTH_NEWER = Made("b/both.flac", {"anna": "g-anna", "ben": "g-ben"}, 1, version="v2")
BROKEN = Made("c/broken.wav", {"anna": None}, reason=Reason.UNREADABLE)
SILENT = Made("c/silent.wav", {"anna": None}, reason=Reason.SILENT)
FLAKY = Made("c/flaky.wav", {"anna": "g-anna"}, reason=Reason.STAGE_FAILED)
FLAKY_LATER = Made("c/flaky.wav", {"anna": "g-anna"}, 1)
CAROL = Made("d/carol.wav", {"carol": None}, reason=DenyReason.NO_GRANT)
DORA = Made("d/dora.wav", {"dora": "g-dora"}, 1)
DORA_LATER = Made("d/dora.wav", {"dora": "g-dora"}, reason=DenyReason.WITHDRAWN)
STRANGER = Made("d/stranger.wav", {"anna": None}, reason=DenyReason.EXTRA_VOICE)
LOOK = Made("e/look.wav", {}, 1, complete=False)
WAITING = Made("e/waiting.wav", {})


@dataclass(frozen=True)
class SmallLake:
    """The lake, and where it lies."""

    uri: str
    lake: Lake
    runs: tuple[RunRecord, ...]


def small_lake(folder: Path, uri: str | None = None) -> SmallLake:
    """Three runs: `first` commits two units, `second` (another recipe) supersedes some of them, `look` explores, and
    one of its two units is not committed. The ledger ends with a withdrawal at position 5."""
    lake = Lake.create_or_open(uri or str(folder / "lake"))
    window: dict[str, Any] = {
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
        "valid_until": datetime(2120, 1, 1, tzinfo=UTC),
    }
    no_cloning = rule("prohibit", ("clone",))
    over: dict[str, Any] = {"valid_from": window["valid_from"], "valid_until": datetime(2021, 1, 1, tzinfo=UTC)}
    lake.ledger().append(
        [
            given(grant("anna", rules=(rule(), no_cloning), **window)),
            given(grant("ben", **window)),
            given(grant("dora", **window)),
            given(grant("erik", **over)),
        ]
    )
    work = folder / "work"
    work.mkdir(parents=True)
    first = write_run(
        lake, work, [[ANNA, BEN, BOTH, BROKEN, SILENT, FLAKY], [CAROL, DORA, STRANGER]],
        run_id="first", ignored=2, ledger_position=4,
    )  # fmt: skip
    lake.ledger().append([ended("dora", "g-dora", EventType.WITHDRAWN)])
    ben_again = Made(BEN.path, BEN.people, reason=Reason.SOURCE_MISSING)
    second = write_run(
        lake, work, [[Made(ANNA.path, ANNA.people, 1), ben_again, BOTH_NEWER, FLAKY_LATER, DORA_LATER]],
        run_id="second", recipe="b", ledger_position=5,
    )  # fmt: skip
    look = write_run(
        lake, work, [[Made(ANNA.path, {}, 3, complete=False), LOOK], [WAITING]],
        run_id="look", recipe="c", committed=1, is_explore=True, ledger_position=5,
    )  # fmt: skip
    orphan = work / "orphan.parquet"
    orphan.write_bytes(lake.root.read(next(p.path for p in lake.root.list("utterances"))))
    lake.root.create("utterances/run=second/0000009-orphan.parquet", orphan)
    return SmallLake(lake.root.uri, lake, (first, second, look))
