"""Models: found without importing, named by digest, made once, opened on one thread."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ConfigError
from transforms import silero
from transforms.models import ModelRef, cache_folder, cached, onnx_session, package_file, sha256_of, verified

WORDS = b"weights"
DIGEST = hashlib.sha256(WORDS).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_model_is_named_by_version_and_digest() -> None:
    assert str(ModelRef("net", "2", DIGEST)) == f"2 sha256:{DIGEST}"


def test_the_cache_is_where_the_user_says(cache, monkeypatch) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("PROVOICE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/provoice")


def test_a_file_inside_a_package_is_found_without_importing_it() -> None:
    found = package_file("silero_vad", "data/silero_vad_16k_sequence.onnx", "install it")
    assert found == silero.model_path()


@pytest.mark.parametrize("package", ["no_such_package", "silero_vad"])
def test_what_is_not_installed_says_what_to_do(package: str) -> None:
    with pytest.raises(ConfigError, match=f"{package} .*no_such_file; `pip install it`"):
        package_file(package, "no_such_file", "`pip install it`")


def test_other_bytes_are_refused_with_both_digests_and_the_next_step(tmp_path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(WORDS)
    assert verified(path, DIGEST, "fetch it again") == path
    path.write_bytes(WORDS + b"!")
    with pytest.raises(ConfigError) as refused:
        verified(path, DIGEST, "fetch it again")
    said = str(refused.value)
    assert all(part in said for part in (str(path), DIGEST, sha256_of(path), "fetch it again"))
    assert "\n" not in said


def test_a_model_that_is_not_there_is_a_wrong_request(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the model .*; fetch it"):
        verified(tmp_path / "nowhere", DIGEST, "fetch it")


def test_the_damaged_model_among_the_real_files_is_refused() -> None:
    from tests.shared_audio import shared_audio

    good = "d582f4b4c6b48205de7e0643c57df0df5615a3c176189be3fc461e9d18827b5d"
    with pytest.raises(ConfigError, match=good):
        verified(shared_audio("models/damaged_segmentation.int8.onnx"), good, "fetch it again")


def test_what_is_cached_is_made_once_and_mended_when_damaged(cache) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(WORDS)

    first = cached("net.onnx", DIGEST, make)
    assert cached("net.onnx", DIGEST, make) == first == cache / "net.onnx"
    assert len(made) == 1
    first.write_bytes(b"half a ")
    assert cached("net.onnx", DIGEST, make).read_bytes() == WORDS
    assert len(made) == 2
    assert [path.name for path in cache.iterdir()] == ["net.onnx"]


def test_what_was_made_wrong_never_gets_its_name(cache) -> None:
    with pytest.raises(ConfigError, match="expected " + DIGEST):
        cached("net.onnx", DIGEST, lambda path: path.write_bytes(b"other"))
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="PROVOICE_CACHE"):
        cached("net.onnx", DIGEST, lambda path: path.write_bytes(WORDS))


def test_many_processes_at_once_leave_one_whole_file(cache) -> None:
    code = (
        "import sys, time; from transforms.models import cached\n"
        "def make(path):\n"
        "    with path.open('wb') as file:\n"
        "        for byte in b'weights':\n"
        "            file.write(bytes([byte])); file.flush(); time.sleep(0.02)\n"
        f"print(cached('net.onnx', '{DIGEST}', make).read_bytes())\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PROVOICE_CACHE": str(cache)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert said == ["b'weights'"] * 4
    assert [path.name for path in cache.iterdir()] == ["net.onnx"]


def test_a_session_runs_on_one_thread() -> None:
    options = onnx_session(silero.model_path()).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.parametrize("damaged", [b"not a model", np.zeros(100, np.uint8).tobytes()])
def test_what_is_no_model_is_refused_in_one_line(tmp_path, damaged: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"cannot load .*net\.onnx") as refused:
        onnx_session(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="cannot load"):
        onnx_session(tmp_path / "nowhere.onnx")
