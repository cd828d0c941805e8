"""What is wrong with Terraform's files as they are written: each check returns its complaints, one line each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infra.files import META, Parsed, blocks, inner, stated
from tests.infra.provider_schema import Block

Files = Mapping[str, Parsed]


def bad_variables(files: Files) -> list[str]:
    """Variables without a description, a type or a validation."""
    return [
        f"{file}: variable {name} has no {part}"
        for file, name, body in blocks(files, "variable")
        for part in ("description", "type", "validation")
        if not body.get(part)
    ]


def bad_outputs(files: Files) -> list[str]:
    """Outputs without a description."""
    return [f"{file}: output {name} has no description" for file, name, body in blocks(files, "output")
            if not body.get("description")]  # fmt: skip


def unused_variables(files: Files) -> list[str]:
    """Variables that nothing in their folder reads but their own validation."""
    complaints = []
    for file, name, body in blocks(files, "variable"):
        here = [content for other, content in files.items() if Path(other).parent == Path(file).parent]
        others = [{**content, "variable": [one for one in content.get("variable", []) if body not in one.values()]}
                  for content in here]  # fmt: skip
        if f"var.{name}" not in set(re.findall(r"\bvar\.\w+", repr(others))):
            complaints.append(f"{file}: variable {name} is read by nobody")
    return complaints


def bad_versions(files: Files) -> list[str]:
    """Folders whose Terraform or provider is not bounded on both sides."""
    complaints = []
    for folder in sorted({str(Path(file).parent) for file in files}):
        settings = [body for file, content in files.items() if str(Path(file).parent) == folder
                    for body in content.get("terraform", [])]  # fmt: skip
        terraform = " ".join(str(body.get("required_version", "")) for body in settings)
        provider = " ".join(str(body.get("required_providers", "")) for body in settings)
        if not ("<" in terraform or "~>" in terraform):
            complaints.append(f"{folder}: no upper bound on Terraform's version")
        if not re.search(r"'version': '\"~> \d+\.\d+\"'", provider):
            complaints.append(f"{folder}: google is not bounded by ~>")
    return complaints


def hard_coded(texts: Mapping[str, str]) -> list[str]:
    """Projects, regions and accounts that are written where a variable should stand."""
    found = re.compile(r'=\s*"(?:projects/[a-z][a-z0-9-]+/|[a-z]{2,}-[a-z]{4,}\d(?:-[a-z])?"|[\w-]+@[\w-]+\.iam)')
    return [f"{file}: {line.strip()}" for file, text in texts.items() for line in text.splitlines()
            if found.search(line)]  # fmt: skip


def against_schema(files: Files, schema: Mapping[str, Block]) -> tuple[list[str], int, int]:
    """(complaints, resources checked, attributes and blocks checked) against the provider's schema."""
    complaints: list[str] = []
    resources = names = 0
    for one in stated(files):
        where = f"{one.file}: {one.kind}.{one.name}"
        resources += 1
        if one.kind not in schema:
            complaints.append(f"{where}: the provider has no such resource")
            continue
        body = {name: value for name, value in one.body.items() if name not in META}
        for count, complaint in _compared(body, schema[one.kind], where):
            names += count
            complaints += [complaint] if complaint else []
    return complaints, resources, names


def _compared(body: Mapping[str, Any], block: Block, where: str) -> Iterator[tuple[int, str]]:
    attributes, nested = inner(body)
    for name in sorted(attributes):
        known = block.attributes.get(name)
        if known is None:
            yield 1, f"{where}: no attribute {name}"
        elif known.is_computed:
            yield 1, f"{where}: {name} is the provider's to set"
        else:
            yield 1, ""
    for name, attribute in block.attributes.items():
        if attribute.is_required and name not in attributes:
            yield 0, f"{where}: {name} is required"
    there = Counter(name for name, _ in nested)
    for name, known_block in block.blocks.items():
        if known_block.is_required and not there[name]:
            yield 0, f"{where}: block {name} is required"
        if known_block.is_single and there[name] > 1:
            yield 0, f"{where}: block {name} may stand once"
    for name, content in nested:
        if name not in block.blocks:
            yield 1, f"{where}: no block {name}"
            continue
        yield 1, ""
        yield from _compared(content, block.blocks[name].block, f"{where}.{name}")
