"""A user's own folder that bears the name of a package of ours, tried across a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from provoice import shadow

SCRIPT = Path(sys.executable).parent / "provoice"
STARTS = {"script": [str(SCRIPT)], "module": [sys.executable, "-m", "provoice"]}


@pytest.fixture(params=[True, False], ids=["package", "plain folder"])
def own_folder(request, tmp_path):
    """A folder of the user's with `schemas/` and `lake/` in it, as packages or as plain folders."""
    for name in ("schemas", "lake"):
        (tmp_path / name).mkdir()
        if request.param:
            (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not yours to import')\n")
    return tmp_path


def started(how, folder, *words, **environment):
    if how == "script" and not SCRIPT.exists():
        pytest.skip("provoice is not installed beside this Python (make install)")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environment
    if how == "module":
        # As an installed provoice would be found: after the working folder, which `-m` puts first.
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(shadow.HOME)]))
    return subprocess.run([*STARTS[how], *words], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("how", STARTS)
def test_folders_where_the_user_stands_break_nothing(how, own_folder):
    # `run --help` imports the command, `sql` on no lake imports `schemas` and `lake`, and has one line to say.
    assert started(how, own_folder, "--help").returncode == 0
    done = started(how, own_folder, "sql", str(own_folder / "no-lake"), "select 1")
    assert done.returncode == 2, done.stderr
    assert "not a lake" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", STARTS)
def test_the_worker_processes_are_not_misled_either(how, own_folder, tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    with wave.open(str(source / "still.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 16_000))
    lake = tmp_path_factory.mktemp("out") / "a lake"
    words = ("run", "configs/explore.yaml", "--source", str(source), "--lake", str(lake), "--json")
    done = started(how, own_folder, *words, "--set", "diarize.backend=single", "--set", "workers=1")
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout.splitlines()[-1])
    assert (account["sources"], sum(account["rejected"].values())) == (1, 1), "digital silence is one rejection"


@pytest.mark.parametrize("how", STARTS)
def test_a_folder_that_hides_a_package_is_named_in_one_line(how, tmp_path):
    (tmp_path / "work" / "lake").mkdir(parents=True)
    (tmp_path / "work" / "lake" / "__init__.py").write_text("")
    done = started(how, tmp_path, "--help", PYTHONPATH=str(tmp_path / "work"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "work" / "lake") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_hides_a_package_is_named(tmp_path):
    (tmp_path / "schemas.py").write_text("")
    done = started("module", tmp_path.parent, "--help", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert str(tmp_path / "schemas.py") in done.stderr


def test_our_own_packages_are_ours():
    assert [shadow.shadowing_folder(name) for name in shadow.PACKAGES] == [None] * len(shadow.PACKAGES)
    assert shadow.complaint() is None


def test_the_packages_named_are_those_beside_provoice():
    here = {path.parent.name for path in shadow.HOME.glob("*/__init__.py")} - {"provoice", "tests", "benchmarks"}
    assert set(shadow.PACKAGES) <= here


def test_a_package_that_is_missing_asks_for_a_new_install(monkeypatch):
    monkeypatch.setattr(shadow, "PACKAGES", ("no_such_package",))
    complaint = shadow.complaint()
    assert complaint is not None
    assert "install provoice again" in complaint


def test_a_folder_somebody_asked_for_stays_on_the_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path), "elsewhere"])
    shadow.leave_working_folder()
    assert sys.path == [str(tmp_path), "elsewhere"]


def test_the_checkout_itself_stays_on_the_path(monkeypatch):
    monkeypatch.chdir(shadow.HOME)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setattr(sys, "path", [str(shadow.HOME)])
    shadow.leave_working_folder()
    assert sys.path == [str(shadow.HOME)]
