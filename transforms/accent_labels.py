"""Label sets: closed, versioned lists of accents of one language, and the words that mean them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from schemas.errors import ConfigError
from schemas.model import Frozen, parse

_FOLDER = Path(__file__).resolve().parents[1] / "configs" / "accents"


class AccentLabel(Frozen):
    """What else means this label: a BCP 47 tag, and words as people write them."""

    bcp47: str | None = None
    synonyms: tuple[str, ...] = ()


class LabelSet(Frozen):
    """A closed, versioned list of accents of one language. A changed list gets a new name."""

    name: str = Field(pattern=r"^[a-z0-9_]+-[0-9]+$")
    language: str = Field(min_length=2, description="BCP 47 primary language that the labels are accents of")
    labels: dict[str, AccentLabel] = Field(min_length=1)

    @model_validator(mode="after")
    def _unambiguous(self) -> LabelSet:
        claimed: dict[str, str] = {}
        for label, word in self._words():
            if claimed.setdefault(folded(word), label) != label:
                raise ValueError(f"`{word}` means both {claimed[folded(word)]} and {label}")
        return self

    @cached_property
    def label_of(self) -> dict[str, str]:
        """Folded word to label."""
        return {folded(word): label for label, word in self._words()}

    def _words(self) -> list[tuple[str, str]]:
        return [
            (label, word)
            for label, entry in self.labels.items()
            for word in (label, *([entry.bcp47] if entry.bcp47 else []), *entry.synonyms)
        ]


def read_label_set(name: str) -> LabelSet:
    """A label set by its name in configs/accents, or from a YAML of one's own. Raises ConfigError."""
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(sorted(found.stem for found in _FOLDER.glob("*.yaml")))
        raise ConfigError(f"accent.label_set: no label set `{name}`; there is {known}, or give a path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"accent.label_set: {name} is not YAML: {' '.join(str(error).split())}") from None
    return parse(LabelSet, value, f"accent.label_set {name}")


def folded(word: str) -> str:
    """A word without case, spaces and punctuation: `Northern Irish` and `NorthernIrish` are one."""
    return "".join(letter for letter in word.casefold() if letter.isalnum())
