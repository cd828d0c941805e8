"""The two moments at which a unit asks for consent: before it reads a recording, and before it publishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lake.ledger import Ledger
from pipelines.config import ConsentConfig
from pipelines.plan import PlannedSource
from schemas.catalogue import CatalogueRow
from schemas.consent import Action, ConsentRecord, Decision, Denial, DenyReason
from transforms.consent import ConsentState, decide, decide_without_grants, fold, ingest_use, permitting_grants
from transforms.items import Recording


@dataclass(frozen=True, slots=True)
class Held:
    """A recording that waits for consent: nothing of it is published."""

    reason: DenyReason
    detail: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Gate 1 let it pass: the grant each subject is taken in on."""

    grant_of: Mapping[str, str]


def consent_record(source_root: str, source_path: str, row: CatalogueRow, row_sha256: str | None) -> ConsentRecord:
    """What the decision reads of a planned source."""
    return ConsentRecord(
        subject_ids=tuple(subject.subject_id for subject in row.subjects),
        complete=row.complete,
        source_root=source_root,
        source_path=source_path,
        collected_at=row.collected_at,
        grant_ids=row.grant_ids,
        catalogue_row_sha256=row_sha256,
    )


def held_by(decision: Decision) -> Held:
    """The denials of a decision as one reason and one line."""
    first = decision.denials[0]
    return Held(first.reason, "; ".join(_said(denial) for denial in decision.denials))


def _said(denial: Denial) -> str:
    return f"{denial.reason.value}: {denial.detail}"


class ConsentGate:
    """Decides with the ledger as it was last read; `refresh` reads what was appended since."""

    def __init__(self, ledger: Ledger, config: ConsentConfig) -> None:
        self._ledger = ledger
        self._config = config
        self.state = ConsentState()
        self.decided_at = datetime.now(UTC)

    def refresh(self) -> bool:
        """Reads the ledger's head; True when there was something new."""
        before = self.state.position
        self.state = fold(self._ledger.events(before), self.state)
        self.decided_at = datetime.now(UTC)
        return self.state.position != before

    def ask(self, planned: PlannedSource) -> Admission | Held:
        """Gate 1, and again at gate 2: `retain` and `annotate` for all subjects that the catalogue names."""
        row = planned.catalogue or CatalogueRow()
        record = consent_record(planned.source.root, planned.source.path, row, planned.catalogue_row_sha256)
        at = self.decided_at
        if not self._config.require_grants:
            decision = decide_without_grants(record, self.state, at)
            return Admission({}) if decision.is_allowed else held_by(decision)
        for action in (Action.RETAIN, Action.ANNOTATE):
            decision = decide(record, ingest_use(action, at), self.state, at)
            if not decision.is_allowed:
                return held_by(decision)
        return Admission({subject: self._grant(subject, record, at) for subject in record.subject_ids})

    def _grant(self, subject: str, record: ConsentRecord, at: datetime) -> str:
        """The lowest grant id that allows both; else the lowest that allows `retain`."""
        retain, annotate = (
            permitting_grants(subject, record, ingest_use(action, at), self.state, at)
            for action in (Action.RETAIN, Action.ANNOTATE)
        )
        return min(set(retain) & set(annotate), default=retain[0])

    def extra_voice(self, recording: Recording) -> Held | None:
        """A voice that the catalogue does not name holds a recording whose catalogue row claims to be complete."""
        heard = recording.extra_voice_s
        if not self._config.require_grants or heard is None or heard < self._config.min_extra_voice_s:
            return None
        named = len(recording.catalogue.subjects)
        return Held(
            DenyReason.EXTRA_VOICE,
            f"a voice of {heard:.1f} s beyond the {named} {'person' if named == 1 else 'people'} in the catalogue",
        )
