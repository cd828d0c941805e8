"""The vocabulary as people write it down: the version that comes with provoice, or one of their own.

A folder holds `version.yaml`, `action.yaml` and one file per facet; one file holds the same under the same names, or a
version as the ledger has it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from lake.ledger import Ledger
from pipelines.yaml_words import read_words
from schemas.consent import TERMS
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType
from schemas.model import nearest, parse
from schemas.vocabulary import Facet, Vocabulary

SHIPPED = Path(__file__).resolve().parents[1] / "configs" / "vocabulary"
_FILES = ("version", "action", *TERMS)
_ENDINGS = (".yaml", ".yml", ".json")


@cache
def shipped() -> Vocabulary:
    """The vocabulary that comes with provoice."""
    return load(SHIPPED)


def load(path: str | Path) -> Vocabulary:
    """The vocabulary in a folder of YAML files, or in one YAML or JSON file. Raises ConfigError naming file and key."""
    path = _found(Path(path))
    if path.is_dir():
        return _from_folder(path)
    values = _mapping(read_words(path), path)
    if "action" in values:
        values |= _actions(values.pop("action"), path)
    return parse(Vocabulary, {name: _spelt_out(value) for name, value in values.items()}, str(path))


def _found(path: Path) -> Path:
    """Where the user stands; `configs/vocabulary` is also found where provoice is installed."""
    beside = SHIPPED.parents[1] / path
    return beside if not path.exists() and beside == SHIPPED else path


def _from_folder(folder: Path) -> Vocabulary:
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix in _ENDINGS}
    for name, file in files.items():
        if name not in _FILES:
            raise ConfigError(f"{file}: `{name}` is no facet{nearest(name, _FILES)}; files are {', '.join(_FILES)}")
    missing = [f"{name}.yaml" for name in _FILES if name not in files]
    if missing:
        raise ConfigError(f"{folder} is no vocabulary: it has no {', '.join(missing)}")
    head = _mapping(read_words(files["version"]), files["version"])
    values: dict[str, Any] = {**head, **_actions(read_words(files["action"]), files["action"])}
    for facet in TERMS:
        # Each by itself, so that a fault is told with the file that it stands in.
        values[facet] = parse(Facet, _spelt_out(read_words(files[facet])), str(files[facet]))
    return parse(Vocabulary, values, str(files["version"]))


def _mapping(values: Any, where: Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected keys and values at the top")
    return dict(values)


def _actions(values: Any, where: Path) -> dict[str, Any]:
    """The list of actions, checked like a facet and kept as names and as words."""
    terms = parse(Facet, _spelt_out(values), str(where)).terms
    return {"actions": tuple(terms), "action_terms": terms}


def _spelt_out(values: Any) -> Any:
    """`DE: Germany` is short for `DE: {label: Germany}`, and a pattern that is left empty is none."""
    if not isinstance(values, dict):
        return values
    values = {key: value for key, value in values.items() if key != "pattern" or value not in ("", "null", "~")}
    if isinstance(terms := values.get("terms"), dict):
        values["terms"] = {name: {"label": term} if isinstance(term, str) else term for name, term in terms.items()}
    return values


def vocabulary_event(vocabulary: Vocabulary, recorded_at: datetime) -> Event:
    """The ledger event that brings `vocabulary`. Its id is a digest of the content: the same version folds once."""
    content = json.dumps(vocabulary.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    name = f"vocabulary-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    return Event(event_id=name, type=EventType.VOCABULARY, recorded_at=recorded_at, vocabulary=vocabulary)


def spoken(ledger: Ledger) -> Iterator[tuple[int, Vocabulary]]:
    """(position, version) of every version that the ledger holds, in order; the last is in force."""
    seen: set[str] = set()
    for position, event in ledger.events_about((), ()):
        if event.vocabulary is not None and event.event_id not in seen:
            seen.add(event.event_id)
            yield position, event.vocabulary


def ensure(ledger: Ledger) -> int | None:
    """Appends the shipped vocabulary where the ledger has none. Returns the new head, or None where it had one.

    Two who find none at once append the same event, which folds once.
    """
    if next(spoken(ledger), None) is not None:
        return None
    return ledger.append([vocabulary_event(shipped(), datetime.now(UTC))])
