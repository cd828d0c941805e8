"""What a plain install brings, and what starting provoice costs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions

import pytest

from provoice import shadow
from tests.imports import MADE_OF, ROOT, imports_in, modules_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("provoice", *shadow.PACKAGES)


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it, without version and extras."""
    bare = re.match(r"[A-Za-z0-9._-]+", name)
    assert bare, name
    return re.sub(r"[-_.]+", "-", bare[0]).lower()


BASE = {normal(need) for need in PROJECT["dependencies"]}
EXTRA = {normal(need) for needs in PROJECT["optional-dependencies"].values() for need in needs}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names of the files in the wheel of this checkout."""
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    path = next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"]))
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_every_package_and_every_configuration(wheel):
    for package in PACKAGES:
        here = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert here <= set(wheel)
    configs = {f"configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert configs
    assert configs <= set(wheel)


def test_the_wheel_holds_nothing_else_of_the_checkout(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert tops - set(PACKAGES) == {f"provoice-{PROJECT['version']}.dist-info"}


def test_other_files_of_a_package_travel_with_it(wheel):
    left = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert left <= set(wheel)


def third_party(*, eager_only):
    """(distribution names, module, file) of each import that is neither ours nor Python's."""
    given = packages_distributions()
    for package in PACKAGES:
        for name, path in modules_of(package).items():
            for found in imports_in(name, path):
                if found.top in sys.stdlib_module_names or found.top in PACKAGES or (eager_only and not found.is_eager):
                    continue
                if eager_only and found.top == MADE_OF.get(name):
                    continue
                yield {normal(dist) for dist in given.get(found.top, [found.top])}, found.module, name


def test_every_library_that_is_imported_is_declared():
    # Resemblyzer is installed beside the rest, without its dependencies: the Makefile says why.
    known = BASE | EXTRA | {"resemblyzer"}
    assert [(module, name) for dists, module, name in third_party(eager_only=False) if not dists & known] == []


def test_a_plain_install_brings_all_that_modules_import_at_once():
    assert [(module, name) for dists, module, name in third_party(eager_only=True) if not dists & BASE] == []


def test_every_direct_dependency_has_one_version_that_fits():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    names = [normal(line) for line in lines]
    assert len(set(names)) == len(names)
    assert (BASE | EXTRA | {"resemblyzer"}) - set(names) == set()


HEAVY = (
    "numpy",
    "pyarrow",
    "duckdb",
    "onnxruntime",
    "soundfile",
    "soxr",
    "av",
    "scipy",
    "matplotlib",
    "torch",
    "pandas",
    "ray",
)
RUN_NEVER = ("torch", "pandas", "matplotlib", "scipy.signal", "librosa", "duckdb")


def loaded_by(code, heavy):
    """Which of `heavy` are imported once `code` has run in a fresh interpreter."""
    after = f"\nimport sys\nsys.stdout.write('loaded:' + ','.join(m for m in {heavy!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + after], capture_output=True, text=True, cwd=ROOT, check=True)
    return [name for name in done.stdout.rsplit("loaded:", 1)[1].split(",") if name]


def test_help_imports_nothing_heavy():
    code = (
        "from click.testing import CliRunner\nfrom provoice.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0"
    )
    assert loaded_by(code, HEAVY) == []


def test_what_was_loaded_is_seen():
    assert loaded_by("import numpy", HEAVY) == ["numpy"]


def test_loading_a_configuration_opens_no_library_of_sound_or_science():
    code = "from pipelines.config import load_config\nload_config('configs/explore.yaml')"
    assert loaded_by(code, ("onnxruntime", "soundfile", "soxr", "av", *RUN_NEVER)) == []


def test_the_worker_imports_no_torch_and_no_pandas():
    assert loaded_by("import pipelines.unit, pipelines.child, provoice.running", RUN_NEVER) == []
