"""`provoice consent vocabulary`: the version in force, and what a new one would change before it is brought in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lake.lake import Lake
from lake.releases import list_releases
from pipelines.vocabulary import load, shipped, spoken, vocabulary_event
from provoice.words import several
from schemas.consent import TERMS
from schemas.errors import ConfigError
from schemas.releases import ReleaseRecord
from schemas.vocabulary import Facet, Vocabulary
from transforms.consent_table import tables_of
from transforms.consent_words import listed
from transforms.vocabulary_changes import FacetChange, Reach, changes, reaches

_MOST_TERMS = 8
_MOST_RULES = 4
_EFFECTS = {"permit": "permitted", "prohibit": "prohibited"}
_NARROWER = {
    "listed": "",
    "prefix": "; what begins with a term is narrower",
    "dash": "; what follows a dash is narrower",
}


def show(lake_uri: str, as_json: bool) -> str:
    """The version in force with its facets. As JSON its whole content, which `bring` takes as a file."""
    versions = list(spoken(Lake.open(lake_uri).ledger()))
    if as_json:
        return json.dumps(versions[-1][1].model_dump(mode="json") if versions else None, ensure_ascii=False) + "\n"
    if not versions:
        return (
            "the ledger holds no vocabulary: only `any` is known, and a request for less is denied\n"
            f"version {shipped().version} comes with provoice: "
            f"provoice consent vocabulary {lake_uri} configs/vocabulary\n"
        )
    position, version = versions[-1]
    lines = [f"version {version.version}, in force since ledger position {position}"]
    lines += [f"  {'action':<10} {several(len(version.actions), 'term')}, a closed list"]
    lines += [line for name in TERMS for line in _facet(name, version.facet(name))]
    before = [f"{version.version} (position {position})" for position, version in versions[:-1]]
    return "\n".join([*lines, *([f"before it: {listed(before, _MOST_TERMS)}"] if before else [])]) + "\n"


def _facet(name: str, facet: Facet) -> Iterator[str]:
    form = "" if facet.pattern is None else ", or by their form"
    yield f"  {name:<10} {several(len(facet.terms), 'term')}{form}{_NARROWER[facet.narrower]}"
    yield f"  {'':<10} from {facet.source}"


@dataclass(frozen=True, slots=True)
class Step:
    """From the version in force to a new one: what changes, for which rules, and which releases it closes."""

    old: Vocabulary | None
    new: Vocabulary
    facets: Sequence[FacetChange]
    rules: Sequence[Reach]
    releases: Sequence[ReleaseRecord]


def bring(lake_uri: str, source: str, dry_run: bool, as_json: bool) -> str:
    """Compares the vocabulary in `source` with the one in force, and appends it unless `dry_run`.

    Raises ConfigError where it is no vocabulary, or where its version is in the ledger already, but not in force or
    with other content.
    """
    new = load(source)
    lake = Lake.open(lake_uri)
    ledger = lake.ledger()
    versions = list(spoken(ledger))
    if versions and versions[-1][1] == new:
        return _nothing_new(*versions[-1], as_json)
    _check_version(new, versions, source)
    old = versions[-1][1] if versions else None
    step = Step(
        old=old,
        new=new,
        facets=changes(old, new),
        rules=reaches(tables_of(ledger.events_table(), ledger.head()), old, new),
        releases=[release for release in list_releases(lake) if _unknown_in(release, old, new)],
    )
    position = None
    if not dry_run:
        ledger.append([vocabulary_event(new, datetime.now(UTC))])
        # Not the head: somebody else may have appended since.
        position = next(at for at, version in spoken(ledger) if version == new)
    return _as_json(step, position) if as_json else _in_words(step, position)


def _nothing_new(position: int, version: Vocabulary, as_json: bool) -> str:
    if as_json:
        return _as_json(Step(version, version, (), (), ()), None)
    return f"nothing new: version {version.version} is in force since ledger position {position}\n"


def _as_json(step: Step, position: int | None) -> str:
    told = {
        "version": step.new.version,
        "position": position,
        "replaces": step.old.version if step.old else None,
        "facets": [asdict(change) for change in step.facets],
        "rules": [asdict(reach) for reach in step.rules],
        "releases": [f"{release.name} {release.version}" for release in step.releases],
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _in_words(step: Step, position: int | None) -> str:
    lines = [f"version {step.new.version}, after {f'version {step.old.version}' if step.old else 'none'}"]
    lines += [line for change in step.facets for line in _change(change)]
    lines += [f"  {line}" for line in _told_rules(step.rules)]
    lines += [f"  {line}" for release in step.releases for line in _told_release(release, step.new)]
    lines.append(
        "would be appended; nothing was written"
        if position is None
        else f"appended at ledger position {position}: from here on decisions speak version {step.new.version}"
    )
    return "\n".join(lines) + "\n"


def _check_version(new: Vocabulary, versions: Sequence[tuple[int, Vocabulary]], source: str) -> None:
    for position, known in versions:
        if known.version == new.version:
            how = "as it is here, and was replaced since" if known == new else "with other content"
            raise ConfigError(
                f"{source}: version {new.version} is in the ledger {how} (position {position}); a version is never "
                "edited or brought back: give this one a new `version`"
            )


def _unknown_in(release: ReleaseRecord, old: Vocabulary | None, new: Vocabulary) -> list[str]:
    """Terms of the release's use that the old version knew, and the new one does not."""
    return [
        f"{name} {term}"
        for name in TERMS
        if not new.facet(name).knows(term := getattr(release.use, name))
        and (old is None or old.facet(name).knows(term))
    ]


def _told_release(release: ReleaseRecord, new: Vocabulary) -> Iterator[str]:
    terms = listed(_unknown_in(release, None, new))
    yield f"release {release.name} {release.version} is for {terms}, which version {new.version} does not know:"
    yield "  it can be opened no more"


def _change(change: FacetChange) -> Iterator[str]:
    listings = (
        ("added", change.added),
        ("removed", change.removed),
        ("under other terms than before", change.moved),
        ("under another label", change.relabelled),
    )
    said = [f"{several(len(terms), 'term')} {what}: {listed(terms, _MOST_TERMS)}" for what, terms in listings if terms]
    said += ["another form of terms"] if change.is_form_changed else []
    for n, what in enumerate(said):
        yield f"  {change.facet if n == 0 else '':<10} {what}"


def _told_rules(rules: Sequence[Reach]) -> Iterator[str]:
    """In plain words, whose permissions and prohibitions change; what loses meaning first."""
    for reach in sorted(rules, key=lambda reach: (reach.is_known, reach.facet, reach.term)):
        first, more = reach.rules[:_MOST_RULES], reach.n_rules - _MOST_RULES
        by = f"{', '.join(first)} and {more} more" if more > 0 else listed(first)
        yield f"{reach.facet} {reach.term}, {_EFFECTS[reach.effect]} by {by}:"
        yield from (f"  {what}" for what in _meant(reach))


def _meant(reach: Reach) -> Iterator[str]:
    if reach.was_known and not reach.is_known:
        yield (
            "loses its meaning: nothing is permitted by it any more"
            if reach.effect == "permit"
            else "loses its meaning: every request that the rest of the rule fits is denied"
        )
    elif reach.is_known and not reach.was_known:
        yield "means something for the first time" + (
            "" if reach.effect == "permit" else "; before, every request that the rest of the rule fits was denied"
        )
    else:
        if reach.more:
            yield f"reaches further: {listed(reach.more, _MOST_TERMS)}"
        if reach.less:
            yield f"reaches no more: {listed(reach.less, _MOST_TERMS)}"
