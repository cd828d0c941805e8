"""The packages know of each other in one direction, and what is heavy is imported where it is used."""

from __future__ import annotations

import graphlib

import pytest

from tests.imports import MADE_OF, ROOT, imports_in, imports_of, modules_of

MAY_IMPORT = {
    "schemas": {"schemas"},
    "transforms": {"schemas", "transforms"},
    "lake": {"schemas", "lake"},
    "pipelines": {"schemas", "transforms", "lake", "pipelines"},
    "provoice": {"schemas", "transforms", "lake", "pipelines", "provoice", "configs"},
    "configs": {"configs"},
}
OURS = {*MAY_IMPORT, "benchmarks", "tests"}

NEVER_EAGER = {
    "torch", "torchaudio", "torchcodec", "pyannote", "lightning", "librosa", "resemblyzer", "silero_vad",
    "apache_beam", "ray", "airflow", "gcsfs", "s3fs", "pandas", "matplotlib", "transformers",
}  # fmt: skip
"""Each costs seconds, or is not installed with a plain `pip install provoice`."""

NEVER_AT_ALL = {
    "schemas": {"soundfile", "soxr", "av", "onnxruntime", "duckdb", "fsspec", "scipy", *NEVER_EAGER},
    "transforms": {"fsspec", "gcsfs", "s3fs", "duckdb", "apache_beam", "ray", "airflow"},
    "lake": {"soundfile", "soxr", "av", "onnxruntime", "scipy", "torch", "apache_beam", "ray", "airflow"},
}
"""Words know no I/O, sound knows no store and no engine, the store knows no sound and no engine."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}

MODULES = {package: modules_of(package) for package in MAY_IMPORT}
EACH = pytest.mark.parametrize("package", MAY_IMPORT)


def imported_in(package):
    """(where, import) of every import in one of our packages."""
    for name, path in MODULES[package].items():
        for found in imports_in(name, path):
            yield f"{path.relative_to(ROOT)}:{found.line} imports {found.module}", found


@EACH
def test_imports_point_one_way(package):
    allowed = MAY_IMPORT[package]
    assert [where for where, found in imported_in(package) if found.top in OURS - allowed] == []


@EACH
def test_what_is_heavy_is_imported_where_it_is_used(package):
    light = {name: path for name, path in MODULES[package].items() if name not in MADE_OF}
    heavy = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for name, path in light.items()
        for found in imports_in(name, path)
        if found.is_eager and (found.top in NEVER_EAGER or found.module in MADE_OF)
    ]
    assert heavy == []


def test_a_module_made_of_something_heavy_takes_only_that():
    for name, heavy in MADE_OF.items():
        tops = {found.top for found in imports_in(name, MODULES["pipelines"][name]) if found.is_eager}
        assert tops & NEVER_EAGER == {heavy}


@pytest.mark.parametrize("package", NEVER_AT_ALL)
def test_a_package_leaves_alone_what_is_not_its_business(package):
    assert [where for where, found in imported_in(package) if found.top in NEVER_AT_ALL[package]] == []


@EACH
def test_names_say_what_is_inside(package):
    assert [name for name in MODULES[package] if VAGUE & set(name.split("."))] == []


def test_no_two_modules_import_each_other():
    every = {name: path for modules in MODULES.values() for name, path in modules.items()}
    edges = {
        name: {found.module for found in imports_in(name, path) if found.is_eager and found.module in every} - {name}
        for name, path in every.items()
    }
    # A package's own __init__ is imported by its modules without being named; only named imports count here.
    assert set(graphlib.TopologicalSorter(edges).static_order()) == set(every)


def test_every_package_is_looked_at():
    assert all(MODULES.values())


def test_an_import_in_a_function_is_not_eager():
    source = "import ray\nif TYPE_CHECKING:\n import torch\nclass A:\n import av\n def f(self):\n  import duckdb"
    assert [(found.module, found.is_eager) for found in imports_of(source)] == [
        ("ray", True),
        ("torch", False),
        ("av", True),
        ("duckdb", False),
    ]


def test_a_relative_import_is_named_in_full():
    assert [found.module for found in imports_of("from ..storage import Root", "lake.sub")] == ["lake.storage"]
    assert [found.module for found in imports_of("from . import storage", "lake")] == ["lake", "lake.storage"]
