"""The tables in our documents that follow from code: options of commands, columns, reasons, views.

Each stands between `<!-- made: NAME -->` and `<!-- /made -->`. `python -m tests.doc_tables` writes them anew; a test
compares.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
from pydantic import BaseModel

from pipelines.config import RECIPE_KEYS, SETTING_KEYS, Config
from provoice.cli.main import cli
from provoice.reasons import HELD_HELP
from provoice.sql import VIEWS
from provoice.sql_accents import SUBJECT_ACCENTS
from provoice.sql_ledger import EVENTS, GRANTS
from provoice.sql_releases import DECISIONS, EXPIRING, RELEASES
from provoice.sql_tables import COMMITS, RUNS
from provoice.sql_uses import AUDIT, MODEL_STATES, NOTICES, SUBJECT_REPORT, USES, USES_AFTER_WITHDRAWAL, USES_BY_GRANT
from schemas.errors import REASON_HELP, RETRIABLE
from schemas.tables import PLAN_FIELDS, RECORDING_FIELDS, UTTERANCE_FIELDS

DOCS = Path(__file__).resolve().parents[1] / "docs"
_MADE = re.compile(r"<!-- made: (?P<name>[^>]+?) -->\n.*?<!-- /made -->", re.DOTALL)


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its words: `consent import`."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif command is not None:
            yield " ".join((*path, name)), command


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def usage(words: str, command: click.Command) -> str:
    """The command's line, what it does, and a table of its options."""
    context = click.Context(command, info_name=f"provoice {words}")
    line = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    said = inspect.cleandoc(command.help or "").replace("\b\n", "")
    text, _, examples = said.partition("\nprovoice ")
    shown = f"\n\n```sh\nprovoice {examples.strip()}\n```" if examples else ""
    options = [option for option in command.params if isinstance(option, click.Option)]
    rows = [(f"`{_spelt(option)}`", option.help or "") for option in options]
    table = f"\n\n{_table(('option', 'meaning'), rows)}" if rows else ""
    return f"```\n{line}\n```\n\n{' '.join(text.split())}{shown}{table}"


def _spelt(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {'|'.join(option.type.choices)}"
    return f"{names} {option.metavar or option.type.name.upper()}"


def columns(fields: Iterable[pa.Field]) -> str:
    rows = (
        (f"`{f.name}`", _kind(f.type) + ("" if f.nullable else ", never null"), f.metadata[b"description"].decode())
        for f in fields
    )
    return _table(("column", "type", "meaning"), rows)


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return "struct of " + ", ".join(f"`{kind.field(n).name}`" for n in range(kind.num_fields))
    if pa.types.is_map(kind):
        return "map of text to text"
    if pa.types.is_list(kind):
        inner = _kind(kind.value_type)
        return f"list of {'structs' + inner.removeprefix('struct') if inner.startswith('struct') else inner}"
    words = {"string": "text", "double": "double", "bool": "boolean"}
    return "timestamp, UTC" if pa.types.is_timestamp(kind) else words.get(str(kind), str(kind))


def _sql_columns(found: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in found)


def config_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every key that can be set, dotted, with its default and description."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from config_keys(type(default), f"{prefix}{name}.")
        if not isinstance(default, BaseModel) or _is_optional(field.annotation):
            yield f"{prefix}{name}", default, field.description or ""


def _is_optional(annotation: Any) -> bool:
    return type(None) in getattr(annotation, "__args__", ())


def _config(kinds: tuple[str, ...]) -> str:
    rows = [(f"`{key}`", _shown(default), said) for key, default, said in config_keys() if key.split(".")[0] in kinds]
    return _table(("key", "default", "meaning"), rows)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "on"
    if isinstance(value, tuple) and len(value) > 6:
        return f"{len(value)} entries"
    return f"`{json.dumps(value)}`"


def tables() -> dict[str, Callable[[], str]]:
    """Name of a made part to what makes it."""
    of_reasons = [
        (f"`{reason.value}`", "yes" if reason in RETRIABLE else "", said) for reason, said in REASON_HELP.items()
    ]
    return {
        **{f"command {words}": partial(usage, words, command) for words, command in commands()},
        "config recipe": lambda: _config(RECIPE_KEYS),
        "config settings": lambda: _config(SETTING_KEYS),
        "columns utterances": lambda: columns(UTTERANCE_FIELDS),
        "columns recordings": lambda: columns(RECORDING_FIELDS),
        "columns plans": lambda: columns(PLAN_FIELDS),
        "columns runs": lambda: _sql_columns(RUNS),
        "columns commits": lambda: _sql_columns(COMMITS),
        "columns grants": lambda: _sql_columns(GRANTS),
        "columns events": lambda: _sql_columns(EVENTS),
        "columns releases": lambda: _sql_columns(RELEASES),
        "columns decisions": lambda: _sql_columns(DECISIONS),
        "columns expiring": lambda: _sql_columns(EXPIRING),
        "columns uses": lambda: _sql_columns(USES),
        "columns audit": lambda: _sql_columns(AUDIT),
        "columns uses_by_grant": lambda: _sql_columns(USES_BY_GRANT),
        "columns uses_after_withdrawal": lambda: _sql_columns(USES_AFTER_WITHDRAWAL),
        "columns model_states": lambda: _sql_columns(MODEL_STATES),
        "columns notices": lambda: _sql_columns(NOTICES),
        "columns subject_report": lambda: _sql_columns(SUBJECT_REPORT),
        "columns subject_accents": lambda: _sql_columns(SUBJECT_ACCENTS),
        "views": lambda: _table(("view", "holds"), ((f"`{name}`", what) for name, what in VIEWS.items())),
        "reasons rejected": lambda: _table(("reason", "tried again", "what it means, and what to do"), of_reasons),
        "reasons held": lambda: _table(
            ("reason", "what it means, and what to do"), ((f"`{r.value}`", said) for r, said in HELD_HELP.items())
        ),
    }


def made_parts(text: str) -> list[str]:
    """Names of the made parts of a document, in order."""
    return [found["name"] for found in _MADE.finditer(text)]


def remade(text: str) -> str:
    """`text` with its made parts as the code has them today."""
    known = tables()
    return _MADE.sub(lambda m: f"<!-- made: {m['name']} -->\n{known[m['name']]()}\n<!-- /made -->", text)


def main() -> None:
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = remade(before)
        if after != before:
            path.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
