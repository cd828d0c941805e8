"""A batch of planned sources on its way from bytes to rows: gate, fetch, stages, cut, measure, encode."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.config import Config
from pipelines.decoders import Decoders
from pipelines.gate import Admission, ConsentGate, Held
from pipelines.intake import Intake
from pipelines.plan import PlannedSource
from pipelines.rows import Row, RunNames, recording_row, utterance_row
from pipelines.stages import Stages
from schemas.consent import Binding
from schemas.errors import Reason, Rejected, in_stage
from transforms import binding
from transforms.cut import Cut, utterance_of
from transforms.encode import encode
from transforms.items import Recording, Utterance
from transforms.stage import Stage


@dataclass(slots=True)
class Piece:
    """An encoded utterance that waits for its tar: its row, and where its audio lies in the scratch file."""

    row: Row
    offset: int
    size: int


@dataclass(slots=True)
class Outcome:
    """What became of one source: its row, and the utterances cut from it."""

    planned: PlannedSource
    row: Row
    pieces: list[Piece] = field(default_factory=list)

    @property
    def is_emitted(self) -> bool:
        return bool(self.row["status"] == "emitted")


class Preparer:
    """Prepares batches for one unit; `scratch` takes the encoded audio, one piece after the other."""

    def __init__(
        self,
        config: Config,
        stages: Stages,
        gate: ConsentGate,
        roots: Mapping[str, str],
        names: RunNames,
        spool_dir: Path,
        scratch: BinaryIO,
        decoders: Decoders | None = None,
    ) -> None:
        self.config = config
        self.stages = stages
        self.gate = gate
        self.names = names
        self.scratch = scratch
        self.seconds: dict[str, float] = defaultdict(float)
        self.intake = Intake(config.decode, roots, spool_dir, decoders, self.seconds)

    def __call__(
        self,
        batch: Sequence[PlannedSource],
        doomed: Mapping[str, Rejected],
        following: Sequence[PlannedSource] = (),
    ) -> list[Outcome]:
        """One outcome per source, in order. Meanwhile the decoders, if there are any, begin with `following`."""
        try:
            answers = [self._admitted(planned, doomed.get(planned.source.recording_id)) for planned in batch]
            admissions = [answer if isinstance(answer, Admission) else None for answer in answers]
            if self.intake.has_decoders:
                self._ask_decoders((*batch, *following), doomed)
            items = [
                self._fetched(planned) if isinstance(answer, Admission) else answer
                for planned, answer in zip(batch, answers, strict=True)
            ]
            for stage in self.stages.recording:
                items = self._through(stage, items)
            return self._published(batch, admissions, items)
        finally:
            self.intake.drop(batch)

    def _ask_decoders(self, sources: Sequence[PlannedSource], doomed: Mapping[str, Rejected]) -> None:
        """For those that are admitted now; what is kept of them is decided when their turn comes."""
        for planned in sources:
            if isinstance(self._admitted(planned, doomed.get(planned.source.recording_id)), Admission):
                self.intake.ask(planned)

    def _admitted(self, planned: PlannedSource, doom: Rejected | None) -> Admission | Held | Rejected:
        if doom is not None:
            return doom
        with self._timed("consent"):
            return self.gate.ask(planned)

    def _fetched(self, planned: PlannedSource) -> Recording | Held | Rejected:
        item = self.intake.fetched(planned)
        if isinstance(item, Recording) and (held := self.gate.erased_before(item.source_sha256)) is not None:
            return held
        return item

    def _through(self, stage: Stage[Any], items: Sequence[Any]) -> list[Any]:
        """`stage` over those items that are still on their way; the others keep their place."""
        going = [n for n, item in enumerate(items) if not isinstance(item, Held | Rejected)]
        out = list(items)
        if going:
            try:
                with self._timed(stage.name):
                    answers = stage([items[n] for n in going])
            except Exception as error:
                in_stage(error, stage.name)
                raise
            if len(answers) != len(going):
                raise RuntimeError(f"stage {stage.name} answered {len(answers)} of {len(going)} items")
            for n, answer in zip(going, answers, strict=True):
                if isinstance(answer, Rejected):
                    answer.stage = answer.stage or stage.name
                out[n] = answer
        return out

    def _published(
        self,
        batch: Sequence[PlannedSource],
        admissions: Sequence[Admission | None],
        items: Sequence[Recording | Held | Rejected],
    ) -> list[Outcome]:
        """Cuts, measures and encodes what is left, utterances of several recordings together."""
        recordings: dict[int, Recording] = {}
        put_aside: dict[int, Held | Rejected] = {}
        cuts: list[tuple[int, Cut]] = []
        refused: dict[int, Counter[Reason]] = defaultdict(Counter)
        for n, item in enumerate(items):
            if isinstance(item, Held | Rejected):
                put_aside[n] = item
                continue
            held = self.gate.extra_voice(item)
            if held is not None:
                put_aside[n] = held
                continue
            recordings[n] = item = binding.with_span_turns(item)
            with self._timed("cut"):
                found, too_short = self.stages.cutter.cuts(item)
            refused[n].update(too_short)
            cuts += [(n, cut) for cut in found]
        pieces = self._measured(batch, admissions, recordings, cuts, refused)
        return [
            self._outcome(batch[n], recordings.get(n), admissions[n], put_aside.get(n), pieces[n], refused[n])
            for n in range(len(batch))
        ]

    def _measured(
        self,
        batch: Sequence[PlannedSource],
        admissions: Sequence[Admission | None],
        recordings: Mapping[int, Recording],
        cuts: Sequence[tuple[int, Cut]],
        refused: Mapping[int, Counter[Reason]],
    ) -> dict[int, list[Piece]]:
        pieces: dict[int, list[Piece]] = defaultdict(list)
        for group in self._groups(recordings, cuts):
            with self._timed("load"):
                items: list[Any] = [utterance_of(recordings[n], cut) for n, cut in group]
            for stage in self.stages.utterance:
                items = self._through(stage, items)
            for n, item in self._with_restored([n for n, _ in group], items):
                try:
                    if isinstance(item, Rejected):
                        raise item
                    pieces[n].append(self._piece(item, batch[n], recordings[n], admissions[n]))
                except Rejected as rejected:
                    refused[n][rejected.reason] += 1
        return pieces

    def _with_restored(self, of: Sequence[int], items: Sequence[Any]) -> list[tuple[int, Any]]:
        """Each measured utterance with its recording's number, and behind it the one restored from it, measured too."""
        restore = self.stages.restore
        if restore is None:
            return list(zip(of, items, strict=True))
        going = [n for n, item in enumerate(items) if isinstance(item, Utterance)]
        with self._timed(restore.name):
            made = dict(zip(going, restore([items[n] for n in going]), strict=True))
        at = [n for n in going if made[n] is not None]
        children: list[Any] = [made[n] for n in at]
        for stage in self.stages.utterance:
            children = self._through(stage, children)
        child_of = dict(zip(at, children, strict=True))
        pairs: list[tuple[int, Any]] = []
        for n, item in enumerate(items):
            if n not in child_of or restore.config.keep_original:
                pairs.append((of[n], item))
            if n in child_of:
                pairs.append((of[n], child_of[n]))
        return pairs

    def _groups(
        self, recordings: Mapping[int, Recording], cuts: Sequence[tuple[int, Cut]]
    ) -> Iterator[list[tuple[int, Cut]]]:
        """Cuts in order, as many together as `limits.batch_audio_s` allows."""
        group: list[tuple[int, Cut]] = []
        seconds = 0.0
        for entry in cuts:
            decoded = recordings[entry[0]].decoded
            length = entry[1].region.n_samples / decoded.sample_rate_hz if decoded else 0.0
            if group and seconds + length > self.config.limits.batch_audio_s:
                yield group
                group, seconds = [], 0.0
            group.append(entry)
            seconds += length
        if group:
            yield group

    def _piece(
        self, utterance: Utterance, planned: PlannedSource, recording: Recording, admission: Admission | None
    ) -> Piece:
        who = binding.attribute(recording, utterance.track.channel, utterance.region, utterance.speaker)
        links = binding.links(who, recording.catalogue, admission.grant_of if admission else {})
        with self._timed("encode"):
            audio = encode(utterance, self.config.output)
        complete = binding.is_complete(recording, self.config.consent.min_extra_voice_s)
        row = utterance_row(utterance, planned, recording, links, complete, self.names)
        row["audio_sha256"] = hashlib.sha256(audio).hexdigest()
        offset = self.scratch.tell()
        self.scratch.write(audio)
        return Piece(row, offset, len(audio))

    def _outcome(
        self,
        planned: PlannedSource,
        recording: Recording | None,
        admission: Admission | None,
        aside: Held | Rejected | None,
        pieces: list[Piece],
        refused: Mapping[Reason, int],
    ) -> Outcome:
        if aside is None and not pieces:
            said = ", ".join(f"{count} {reason.value}" for reason, count in sorted(refused.items())) or "no cut"
            aside = Rejected(Reason.NO_UTTERANCE, said, "cut_turns")
        if aside is not None:
            # Of what is held or rejected before cutting, nothing that was heard in it is kept.
            row = recording_row(planned, self.names, recording, outcome=aside, cuts_rejected=refused)
            return Outcome(planned, row)
        if recording is None:
            raise RuntimeError("a recording was emitted without having been decoded")
        row = recording_row(
            planned,
            self.names,
            recording,
            outcome=None,
            utterances=[piece.row for piece in pieces],
            cuts_rejected=refused,
            links=binding.links(
                binding.Attribution(tuple(sorted(s.subject_id for s in recording.catalogue.subjects)), _WHOLE),
                recording.catalogue,
                admission.grant_of if admission else {},
            ),
            complete=binding.is_complete(recording, self.config.consent.min_extra_voice_s),
        )
        return Outcome(planned, row, pieces)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - began


_WHOLE = Binding.RECORDING
