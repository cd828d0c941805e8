"""The Google provider's schema, as the TypeScript bindings on npm state it: providers themselves are in no registry of
packages, but `@cdktf/provider-google` was generated from the schema of `hashicorp/google`, and its comments name each
attribute as Terraform spells it.

    schema = read_schema({"google_storage_bucket", "data.google_project"})
    schema["google_storage_bucket"].blocks["soft_delete_policy"].block.attributes["retention_duration_seconds"].kind

The package (32 MB) is fetched once into `.cache/tests`; what is read of it is kept there as well.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.fetched import npm_package

PACKAGE, VERSION = "@cdktf/provider-google", "16.12.1"
SHA256 = "c13e11596542ffb7412d5f4caa9376525fbef88d18cdedac03c9b3c392a1fc80"
PROVIDER_VERSION = "6.50.0"
"""Of hashicorp/google, from which the package was generated (its README says so)."""


@dataclass(frozen=True)
class Attribute:
    """`kind`: string, number, bool, list (of strings), list(number), map (of strings), or object (computed blocks)."""

    kind: str
    is_required: bool = False
    is_computed: bool = False
    """Only the provider sets it."""


@dataclass(frozen=True)
class Nested:
    """A block within a block. `is_single`: it may stand once."""

    block: Block
    is_single: bool
    is_required: bool


@dataclass(frozen=True)
class Block:
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    blocks: Mapping[str, Nested] = field(default_factory=dict)

    def count(self) -> int:
        """Attributes and blocks, at every depth."""
        return len(self.attributes) + sum(1 + nested.block.count() for nested in self.blocks.values())


_INTERFACE = re.compile(r"^export interface (\w+)(?: extends [\w.]+)? \{\n(.*?)^\}", re.M | re.S)
_PROPERTY = re.compile(r"#(\w+) \w+#\w+\}(?:(?!\*/).)*\*/\s+readonly (\w+)(\??): ([^;]+);", re.S)
_CLASS = re.compile(r"^class (\w+) extends [^\n]*\n", re.M)
_RESOURCE = re.compile(r"^class (\w+) extends cdktf\.Terraform(?:Resource|DataSource) ", re.M)
_GETTER = re.compile(
    r"^    // (\w+) - computed: true, optional: false, [^\n]*\n(?:[^\n]*\n)?    get \w+\(\) \{\s+return ([^;]*);", re.M
)
_READ = re.compile(r"\.get(\w+)Attribute\(")
_GETTER_KINDS = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": "list",
    "NumberList": "list(number)",
}


def read_schema(kinds: Iterable[str]) -> Mapping[str, Block]:
    """By kind of resource (`google_storage_bucket`) or data source (`data.google_project`); a kind that the provider
    does not have is left out. Skips the test where the package cannot be had."""
    return _read(frozenset(kinds))


@cache
def _read(kinds: frozenset[str]) -> Mapping[str, Block]:
    package = npm_package(PACKAGE, VERSION, SHA256)
    kept = package.with_suffix(".json")
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if missing := kinds - known.keys():
        known |= {kind: asdict(block) if block else None for kind, block in _from_package(package, missing).items()}
        made = kept.with_suffix(f".{os.getpid()}")
        made.write_text(json.dumps(known, sort_keys=True, separators=(",", ":")))
        os.replace(made, kept)
    return {kind: _block(known[kind]) for kind in sorted(kinds) if known[kind] is not None}


def _block(values: Mapping[str, Any]) -> Block:
    nested = {
        name: Nested(_block(value["block"]), value["is_single"], value["is_required"])
        for name, value in values["blocks"].items()
    }
    return Block({name: Attribute(**value) for name, value in values["attributes"].items()}, nested)


def _from_package(package: Path, kinds: Iterable[str]) -> dict[str, Block | None]:
    folders = {_folder(kind): kind for kind in kinds}
    texts: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
    with tarfile.open(package) as tar:
        for member in tar:
            parts = member.name.split("/")
            if len(parts) > 3 and parts[1] == "lib" and parts[2] in folders and parts[-1].endswith((".js", ".d.ts")):
                file = tar.extractfile(member)
                if file is not None:
                    texts[folders[parts[2]]][member.name] = file.read().decode()
    return {kind: _resource(files) if files else None for kind, files in texts.items()}


def _folder(kind: str) -> str:
    if kind.startswith("data."):
        return "data-" + kind.removeprefix("data.").replace("_", "-")
    return kind.removeprefix("google_").replace("_", "-")


def _resource(files: Mapping[str, str]) -> Block:
    types = "\n".join(text for name, text in files.items() if name.endswith(".d.ts"))
    interfaces = dict(_INTERFACE.findall(types))
    (config,) = (body for name, body in _INTERFACE.findall(types) if "TerraformMetaArguments" in _head(types, name))
    code = "\n".join(text for name, text in files.items() if name.endswith(".js"))
    classes = {found[1]: code[found.end() : code.find("\n}\n", found.end())] for found in _CLASS.finditer(code)}
    (own,) = (classes[name] for name in _RESOURCE.findall(code))
    return _of_interface(config, interfaces, classes, _computed(own))


def _head(types: str, name: str) -> str:
    start = types.index(f"export interface {name} ")
    return types[start : types.index("\n", start)]


def _of_interface(
    body: str, interfaces: Mapping[str, str], classes: Mapping[str, str], computed: Mapping[str, Attribute]
) -> Block:
    attributes = dict(computed)
    blocks: dict[str, Nested] = {}
    for name, _, optional, written in _PROPERTY.findall(body):
        kind = written.split(" | ")[0]
        struct = kind.removesuffix("[]")
        if struct in interfaces:
            inner = _computed(classes.get(f"{struct}OutputReference", ""))
            block = _of_interface(interfaces[struct], interfaces, classes, inner)
            blocks[name] = Nested(block, not kind.endswith("[]"), not optional)
        else:
            attributes[name] = Attribute(_kind(kind), not optional)
    return Block({name: attribute for name, attribute in attributes.items() if name not in blocks}, blocks)


def _kind(written: str) -> str:
    if written.startswith("{"):
        return "map"
    if written.endswith("[]") or written.startswith("Array<"):
        return "list(number)" if "number" in written else "list"
    return {"boolean": "bool"}.get(written, written)


def _computed(code: str) -> dict[str, Attribute]:
    """What only the provider sets, as the comments above a class's getters say."""
    found = {}
    for name, returned in _GETTER.findall(code):
        read = _READ.search(returned)
        kind = _GETTER_KINDS.get(read[1], "map") if read else "object"
        found[name] = Attribute(kind, is_computed=True)
    return found
