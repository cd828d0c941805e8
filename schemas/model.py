"""The base of everything that is read from a file a person may have edited."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)
_MOST_SHOWN = 200
"""Characters of a wrong value that an error quotes."""


class Frozen(BaseModel):
    """An immutable value that refuses unknown keys, infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean `{close[0]}`?)" if close else ""


def parse(model: type[ModelT], value: object, where: str) -> ModelT:
    """`value` as a `model`. Raises ConfigError in one line that names `where`, the key, and what it got."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_said(model, fault) for fault in error.errors())) from None


def _said(model: type[BaseModel], fault: Any) -> str:
    location = tuple(fault["loc"])
    key = ".".join(str(part) for part in location) or "(the whole)"
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        return f"unknown key `{key}`{nearest(str(location[-1]), known)}"
    if fault["type"] == "missing":
        return f"key `{key}` is missing"
    return f"`{key}`: {fault['msg'].removeprefix('Value error, ')}, got {_cut(repr(fault['input']))}"


def _cut(text: str) -> str:
    """A whole file may be what was wrong; nobody reads it in one line."""
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that `model` accepts at `location`, following nested models."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or current is None or part not in current.model_fields:
            continue  # a place in a list, or a name in a mapping
        field = current.model_fields.get(part)
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(current.model_fields) if current else []
