"""YAML whose values stay the words that were written.

YAML 1.1 reads `NO`, the code of Norway, as false, `2027-01-01` as a date without a zone, and `0123` as an octal number.
Where codes and dates are meant, a scalar is its text, and the schema says what it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError


def read_words(path: Path) -> Any:
    """What stands in the YAML file at `path`: mappings, lists and text; JSON is read as JSON. Raises ConfigError naming
    the file."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, object_pairs_hook=_once) if path.suffix.lower() == ".json" else words_of(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split()).replace('"<unicode string>", ', "")
        raise ConfigError(f"{path} is not YAML: {said}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"key `{key}` stands there twice")
        seen.add(key)
    return dict(pairs)


def words_of(text: str) -> Any:
    """`text` as YAML. Raises yaml.YAMLError, also where a key stands twice: PyYAML would take the last."""
    import yaml

    class Words(yaml.BaseLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    said = f"key `{key.value}` stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Words)
