"""The report on one person in plain words: a page that speaks to them, and that a steward can hand over as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from pipelines.erase.certificate import Certificate
from pipelines.notices.models import Model, State
from pipelines.person.report import InRelease, Permission, PersonReport, erased_at
from provoice.pages import Page, Section
from provoice.words import hours, several
from schemas.consent import ANY, TERMS, Rule, Use
from schemas.instants import to_text

_STATUS = {
    "emitted": "prepared",
    "held": "not prepared: waiting for a permission",
    "rejected": "not prepared: could not be used",
}
_STATES = {
    State.IN_USE: "in use",
    State.TRAINED_WITH_SUBJECT: "in use; its owner was asked to decide",
    State.TO_BE_RETIRED: "will be retired",
    State.RETIRED: "retired",
    State.EXEMPT: "stays in use",
}
_NONE_STANDS = "No permission of yours stands today."
_NOT_PREPARED = "not prepared: waits its turn, or was put aside"
_HELD = ("recording", "recorded", "state", "pieces", "sound", "others heard")
_RECORDS_STAY = (
    "These records stay, so that it can be told later that everything was done as it should: what you allowed and took "
    "back and that it was erased, under this name; and how much of you was in which selection."
)
_LISTED = (
    "The places and contents of your recordings are on a list that keeps them from coming in again. It holds them "
    "scrambled with a key, so that the list does not say what is on it."
)


def page_of(found: PersonReport) -> Page:
    """The report in words."""
    sections = [
        Section("In short", tuple(_short(found))),
        _permissions(found.permissions),
        _held(found),
        _used(found),
        _until(found),
        _left(found),
        Section("What you can ask for", tuple(_rights(found))),
    ]
    if not found.is_known:
        sections = sections[:1]
    return Page(f"What is known of {found.subject_id}", tuple(one for one in sections if one is not None))


def _short(found: PersonReport) -> Iterator[str]:
    yield (
        f"This is what {found.lake} and its consent ledger hold of the person who is called {found.subject_id} there, "
        f"as of {_day(found.at)} (ledger position {found.ledger_position}). Names are kept elsewhere, by the steward."
    )
    if not found.is_known:
        yield "Nothing is known under this name."
        return
    done = erased_at(found)
    if done is not None:
        yield f"Everything that was made from your voice was erased; this was finished on {_day(done)}."
    heard = (
        f"You are heard in {several(len(_places(found)), 'recording')}" if found.recordings else "No recording of you"
    )
    if found.recordings:
        yield (
            f"{heard}, from which {several(found.utterances, 'piece')} of speech were cut, {hours(found.audio_s)} "
            "together."
        )
    else:
        yield f"{heard} is held."
    valid = sum(one.standing == "valid" for one in found.permissions)
    yield f"{several(valid, 'permission')} of yours stand{'s' if valid == 1 else ''} today." if valid else _NONE_STANDS
    if found.releases:
        times = several(len({one.record.sha256 for one in found.releases}), "selection")
        trained = f", on which {several(len(found.models), 'model')} were trained" if found.models else ""
        yield f"Your voice is or was part of {times} for training{trained.replace('1 model were', '1 model was')}."


def _places(found: PersonReport) -> set[tuple[str, str]]:
    return {(one.source_root, one.source_path) for one in found.recordings}


def _permissions(held: Sequence[Permission]) -> Section:
    title = "What you have allowed"
    if not held:
        return Section(title, ("No permission of yours is recorded.",))
    rows = tuple(
        (
            one.grant.grant_id,
            _standing(one),
            f"{_day(one.grant.valid_from)} to {_day(one.grant.valid_until)}",
            _scope(one),
            rule,
            f"{one.grant.jurisdiction}, evidence {one.grant.evidence_sha256[:12]}…",
        )
        for one in held
        for rule in map(_rule, one.grant.rules)
    )
    head = ("permission", "stands", "from, to", "about", "says", "recorded under")
    return Section(title, (), head, rows)


def _standing(one: Permission) -> str:
    if one.ended is not None:
        return f"no: {one.ended.type} on {_day(one.ended.at)}"
    return "yes" if one.standing == "valid" else f"no: {one.standing.replace('_', ' ')}"


def _scope(one: Permission) -> str:
    scope = one.grant.scope
    if scope.kind == "all":
        return "all your recordings"
    if scope.kind == "recordings":
        return f"{several(len(scope.recordings), 'recording')} that it lists"
    return f"recordings of {_day(scope.collected_from)} to {_day(scope.collected_until)}"


def _rule(rule: Rule) -> str:
    actions = "anything" if ANY in rule.action else ", ".join(action.replace("_", " ") for action in rule.action)
    narrow = [f"{term}: {', '.join(getattr(rule, term))}" for term in TERMS if ANY not in getattr(rule, term)]
    verb = "allows" if rule.effect == "permit" else "forbids"
    return f"{verb} {actions}" + (f" ({'; '.join(narrow)})" if narrow else "")


def _held(found: PersonReport) -> Section:
    title = "What is held, and where it is from"
    if not found.recordings and not found.planned:
        return Section(title, ("Nothing: no recording, no transcript, no measurement of your voice.",))
    said = []
    if found.utterances:
        said.append(
            "Of each piece of speech: the sound, measurements of it (such as loudness and noise), where in "
            f"the recording it is, and this name. {several(found.texts, 'piece')} with a transcript{_accents(found)}."
        )
    planned = [
        (f"{root}: {path}", "not known", _NOT_PREPARED, "0", hours(0), "not known") for root, path in found.planned
    ]
    rows = tuple(
        (
            f"{one.source_root}: {one.source_path}",
            _day(one.collected_at),
            _STATUS.get(one.status, one.status) + ("" if one.is_current else " (by an earlier run, waits for removal)"),
            f"{one.utterances:,}",
            hours(one.audio_s),
            f"{one.others:,}" if one.others else "nobody",
        )
        for one in found.recordings
    )
    return Section(title, tuple(said), _HELD, (*rows, *planned))


def _accents(found: PersonReport) -> str:
    if not found.accents:
        return ""
    told = " and ".join(f"{several(count, 'accent label')} {how}" for how, count in sorted(found.accents.items()))
    return f"; {told}"


def _used(found: PersonReport) -> Section:
    title = "What it was used for, and by whom"
    if not found.releases:
        return Section(title, ("It was never part of a selection for training.",))
    said = [
        f"It was part of {several(len({one.record.sha256 for one in found.releases}), 'selection')}, each for one use:",
        *map(_model, found.models),
        *(
            f"{one.owner} opened {one.release} on {_day(one.at)}{f' for {one.purpose}' if one.purpose else ''}."
            for one in found.openings
        ),
    ]
    head = ("selection", "for", "on permission", "pieces", "sound", "allowed until", "state")
    return Section(title, (*said[1:], said[0]), head, tuple(map(_release, found.releases)))


def _model(one: Model) -> str:
    reason = f" ({one.reason})" if one.reason else ""
    who, on = " and ".join(one.owners), " and ".join(one.releases)
    return f"The model {one.model} was trained on {on}; {who} answers for it. It is {_STATES[one.state]}{reason}."


def _release(one: InRelease) -> tuple[str, ...]:
    record = one.record
    return (
        f"{record.name}@{record.version}",
        _use(record.use),
        f"{one.grant_id}, rule {one.rule}",
        f"{one.utterances:,}",
        hours(one.audio_s),
        _day(one.allowed_until),
        "replaced: cannot be opened any more" if record.replaced is not None else "can be opened",
    )


def _use(use: Use) -> str:
    narrow = [f"{term} {getattr(use, term)}" for term in TERMS if getattr(use, term) != ANY]
    return ", ".join([use.action.replace("_", " "), *narrow])


def _until(found: PersonReport) -> Section | None:
    valid = [one.grant for one in found.permissions if one.standing == "valid"]
    if not found.recordings:
        return None
    if not valid:
        said = "No permission stands, so nothing may be done with it any more; it is held until it is erased."
    else:
        last = max(one.valid_until for one in valid)
        said = f"Until {_day(last)}, when the last of your permissions ends, or until you take them back."
    return Section("Until when", (said, "From then on nothing is prepared, selected or handed to training."))


def _left(found: PersonReport) -> Section | None:
    if not found.certificates:
        return None
    said = [
        _RECORDS_STAY,
        _LISTED,
    ]
    rows = [
        (f"certificate {one.number}", f"{one.status}; purged {_day(one.clocks.purged_at)}{_together(one)}",
         f"{several(one.recordings, 'recording')}, {several(one.utterances_erased, 'piece')} erased")
        for one in found.certificates
    ]  # fmt: skip
    for one in found.certificates:
        rows.append(("suppression list", f"erasure {one.number}", several(one.suppressed, "entry", "entries")))
        rows += [(what.what, what.why, _remaining(what.count, what.recoverable_until)) for what in one.exceptions]
    rows += [("ledger", kind.replace("_", " "), several(count, "event")) for kind, count in found.events.items()]
    rows.append(("audit rows", "how much of you was in which selection", several(len(found.releases), "row")))
    return Section("What is left after the erasure", tuple(said), ("what", "which", "how much"), tuple(rows))


def _together(one: Certificate) -> str:
    others = len(one.subjects) - 1
    return f", together with {several(others, 'other person', 'other people')}" if others else ""


def _remaining(count: int, until: datetime | None) -> str:
    return f"{count:,}" + (f", recoverable until {_day(until)}" if until is not None else "")


def _rights(found: PersonReport) -> Iterator[str]:
    if found.recordings or any(one.standing == "valid" for one in found.permissions):
        yield (
            "You can take back any permission at any time, without a reason: from that moment nothing new is made "
            "with your voice. You can ask that everything made from it is erased, that what is wrong is put right, and "
            "for a copy of the sound that is held of you."
        )
    yield (
        "Copies that others made before, and models that were trained, are out of this store's reach; whoever "
        "registered one is told when you take a permission back. Turn to whoever gave you this page, or to the "
        "authority for data protection where you live."
    )


def _day(at: datetime | None) -> str:
    return "not known" if at is None else to_text(at)[:10]
