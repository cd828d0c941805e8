"""What a Python file imports, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MADE_OF = {"pipelines.engines.beam_transform": "apache_beam", "pipelines.engines.beam_options": "apache_beam"}
"""Classes of theirs that ours derive from: such a module is as heavy as what it is made of."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module; `is_eager` when importing the file imports it, too."""

    module: str
    line: int
    is_eager: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]


def imports_of(source: str, package: str = "") -> list[Import]:
    """Every import of a file, in functions and under TYPE_CHECKING as well; relative ones resolved in `package`.

    >>> [(i.module, i.is_eager) for i in imports_of("import a.b\\ndef f():\\n    from c import d")]
    [('a.b', True), ('c', False)]
    """
    return sorted(_walk(ast.parse(source), package, is_eager=True), key=lambda found: (found.line, found.module))


def _walk(node: ast.AST, package: str, *, is_eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        eager = is_eager and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (Import(found.module, found.line, False) for found in _walk(child, package, is_eager=False))
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, eager) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from _named(child, package, is_eager=eager)
        yield from _walk(child, package, is_eager=eager)


def _named(node: ast.ImportFrom, package: str, *, is_eager: bool) -> Iterator[Import]:
    parts = package.split(".")
    above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
    module = ".".join(part for part in (above, node.module) if part)
    yield Import(module, node.lineno, is_eager)
    # `from lake import runs` imports lake.runs where that is a module.
    for alias in node.names:
        if (ROOT / f"{module}.{alias.name}".replace(".", "/")).with_suffix(".py").exists():
            yield Import(f"{module}.{alias.name}", node.lineno, is_eager)


def modules_of(package: str) -> dict[str, Path]:
    """Dotted name and file of each module in one of our top-level packages."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(name: str, path: Path) -> list[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return imports_of(path.read_text(encoding="utf-8"), package)
