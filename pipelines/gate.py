"""The two moments at which a unit asks for consent: before it reads a recording, and before it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lake.ledger import Ledger
from lake.suppression import Suppression
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


Place = tuple[str, str]
"""Root and path of a source."""


def _needed(sources: Iterable[PlannedSource]) -> tuple[frozenset[str], frozenset[Place]]:
    """Subjects and places that decisions about these sources look at."""
    subjects: set[str] = set()
    places: set[Place] = set()
    for planned in sources:
        places.add((planned.source.root, planned.source.path))
        if planned.catalogue is not None:
            subjects.update(subject.subject_id for subject in planned.catalogue.subjects)
    return frozenset(subjects), frozenset(places)


class ConsentGate:
    """Decides with the ledger as it was last read; `refresh` reads what was appended since.

    Of a small ledger it knows everything. Of one with a projection it knows what the announced sources need, and
    whoever is asked about without having been announced is looked up, at the position it stands at.
    """

    def __init__(self, ledger: Ledger, config: ConsentConfig) -> None:
        self._ledger = ledger
        self._config = config
        self._subjects: frozenset[str] = frozenset()
        self._sources: frozenset[Place] = frozenset()
        self._is_narrow = False
        self._suppression = Suppression(ledger.root)
        self.state = ConsentState()
        self.decided_at = datetime.now(UTC)

    def announce(self, sources: Iterable[PlannedSource]) -> None:
        """From now on these sources are asked about, and no others. What is known of them is read at `refresh`."""
        subjects, places = _needed(sources)
        if self._is_narrow and not (subjects <= self._subjects and places <= self._sources):
            # The state is one of other people: it begins anew.
            self.state = ConsentState()
        self._subjects, self._sources = subjects, places

    def refresh(self) -> bool:
        """Reads the ledger's head and the suppression list; True when there was something new, or somebody new to know
        about."""
        before = self.state.position
        head = self._ledger.head()
        has_grown = self._suppression.refresh()
        if self._ledger.is_projected and not self._is_narrow:
            self._is_narrow, self.state = True, ConsentState()
        if not self._is_narrow:
            self.state = fold(self._ledger.events(before), self.state)
        elif head != self.state.position:
            self._read_on(head)
        self.decided_at = datetime.now(UTC)
        return has_grown or self.state.position != before

    def _read_on(self, head: int) -> None:
        known = self.state.position
        about = self._ledger.events_about(self._subjects, self._sources, known)
        self.state = fold(about, self.state)
        # Events about others count as read.
        self.state.position = max(head, self.state.position)

    def _know(self, planned: PlannedSource) -> None:
        """Looks up what was not announced, without reading on."""
        subjects, places = _needed([planned])
        if not self._is_narrow or (subjects <= self._subjects and places <= self._sources):
            return
        self._subjects |= subjects
        self._sources |= places
        position = self.state.position
        about = self._ledger.events_about(self._subjects, self._sources)
        self.state = fold((one for one in about if one[0] <= position), ConsentState())
        self.state.position = position

    def ask(self, planned: PlannedSource) -> Admission | Held:
        """Gate 1, and again at gate 2: `retain` and `annotate` for all subjects that the catalogue names."""
        if self._suppression.has_path(planned.source.root, planned.source.path):
            return Held(DenyReason.SUPPRESSED, "what lay there was erased")
        self._know(planned)
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

    def erased_before(self, source_sha256: str | None) -> Held | None:
        """Bytes that were erased are held, under whatever name they come."""
        if not self._suppression.has_content(source_sha256):
            return None
        return Held(DenyReason.SUPPRESSED, "the same bytes were erased, under this name or another")

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
