"""Terraform's files as python-hcl2 reads them, flattened to what the checks ask of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

from tests.infra.terraform import TERRAFORM

Parsed = Mapping[str, Any]
_MARKS = frozenset({"__is_block__", "__comments__", "__inline_comments__"})
META = frozenset({"count", "for_each", "depends_on", "provider", "lifecycle"})
"""What every resource may say besides its own attributes."""


@dataclass(frozen=True)
class Stated:
    """A resource or data source as a file states it."""

    file: str
    kind: str
    """`google_storage_bucket`, `data.google_project`."""
    name: str
    body: Mapping[str, Any]


@cache
def parsed() -> Mapping[str, Parsed]:
    """Every file of infra/terraform, by path from there."""
    return {str(file.relative_to(TERRAFORM)): hcl2.loads(file.read_text()) for file in sorted(TERRAFORM.rglob("*.tf"))}


def blocks(files: Mapping[str, Parsed], kind: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(file, name, body) of every `variable`, `output` or other block with one label."""
    for file, content in files.items():
        for one in content.get(kind, []):
            for name, body in one.items():
                if name not in _MARKS:
                    yield file, name.strip('"'), body


def stated(files: Mapping[str, Parsed]) -> Iterator[Stated]:
    """Every resource and data source."""
    for word, start in (("resource", ""), ("data", "data.")):
        for file, kind, named in blocks(files, word):
            for name, body in named.items():
                if name not in _MARKS:
                    yield Stated(file, start + kind, name.strip('"'), body)


def inner(body: Mapping[str, Any]) -> tuple[set[str], list[tuple[str, Mapping[str, Any]]]]:
    """The names of a body's attributes, and its blocks; a `dynamic` block counts as what it makes."""
    attributes: set[str] = set()
    nested: list[tuple[str, Mapping[str, Any]]] = []
    for name, value in body.items():
        if name in _MARKS:
            continue
        if isinstance(value, list) and value and all(isinstance(one, dict) and "__is_block__" in one for one in value):
            nested += [(name, one) for one in value] if name != "dynamic" else []
        elif name == "dynamic":
            pass
        else:
            attributes.add(name)
        if name == "dynamic":
            for one in value:
                nested += [(kind.strip('"'), made["content"][0]) for kind, made in one.items() if kind not in _MARKS]
    return attributes, nested


def folder_of(file: str) -> Path:
    return Path(file).parent
