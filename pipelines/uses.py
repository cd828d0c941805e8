"""A request as a person writes it down: `use.yaml`, the eight keys of `schemas.consent.Use`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.yaml_words import read_words
from schemas.consent import TERMS, Action, Use
from schemas.errors import ConfigError
from schemas.model import nearest, parse
from schemas.vocabulary import Vocabulary

KEYS = tuple(Use.model_fields)


def read_use(path: str | Path, vocabulary: Vocabulary | None = None) -> Use:
    """The request in the YAML or JSON file at `path`. A bare date in `until` means the beginning of that day.

    With a vocabulary, a term that it does not know is refused here, with the terms that are near it. Raises
    ConfigError in one line that names file, key and what to write instead.
    """
    values = read_words(Path(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected the keys {', '.join(KEYS)}, got {_kind(values)}")
    use = parse(Use, _plain(values, str(path)), str(path))
    if vocabulary is not None:
        check_terms(use, vocabulary, str(path))
    return use


def check_terms(use: Use, vocabulary: Vocabulary, where: str) -> None:
    """Raises ConfigError when `vocabulary` does not know a term of the use: it would be denied everywhere."""
    faults: list[str] = []
    for facet in TERMS:
        known, term = vocabulary.facet(facet), getattr(use, facet)
        if not known.knows(term):
            near = ", ".join(known.near(term))
            said = f" (near it: {near})" if near else ""
            faults.append(f"`{facet}`: version {vocabulary.version} of the vocabulary knows no `{term}`{said}")
    if use.action in vocabulary.unlisted_actions:
        faults.append(f"`action`: version {vocabulary.version} of the vocabulary knows no `{use.action}`")
    if faults:
        raise ConfigError(f"{where}: " + "; ".join(faults))


def _plain(values: dict[Any, Any], where: str) -> dict[Any, Any]:
    """`values`, once it is plain that every key has one word; what the schema would say of a list helps nobody."""
    missing = [key for key in KEYS if key not in values]
    unknown = [key for key in values if key not in KEYS]
    if missing and not unknown:
        open_terms = [key for key in missing if key in TERMS]
        said = "; `any` asks for the whole breadth of a term" if open_terms else ""
        raise ConfigError(f"{where}: {', '.join(f'`{key}`' for key in missing)} missing{said}")
    for key, value in values.items():
        if key in KEYS and not isinstance(value, str):
            raise ConfigError(f"{where}: `{key}` takes one word, got {_kind(value)}; one file asks for one use")
    action = values.get("action")
    if action is not None and action not in list(Action):
        known = ", ".join(Action)
        raise ConfigError(f"{where}: unknown action `{action}`{nearest(action, list(Action))}; actions are {known}")
    return values


_KINDS: dict[type, str] = {dict: "keys and values", list: "a list", str: "one word"}


def _kind(value: object) -> str:
    return "nothing" if value in (None, "") else _KINDS.get(type(value), type(value).__name__)
