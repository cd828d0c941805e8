"""An export is whole or is none; the same release gives the same bytes; nothing of anybody else's is touched."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys

import pytest

from lake.storage import Root
from pipelines.export.export import Checked, export
from pipelines.export.record import ExportRecord, Form
from pipelines.export.target import FINISHED, STARTED, check_room
from schemas.errors import ConfigError, ConsentError, LakeError
from tests.exports import NOW, export_to, release, sample, samples

SAMPLES = samples()
EACH_FORM = pytest.mark.parametrize("form", Form)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def broken(error):
    """Two samples, then `error`."""
    yield from SAMPLES[:2]
    raise error


def exported(chosen, folder, form=Form.WEBDATASET, made=None, **options):
    values = {"owner": "o", "purpose": "p", "checked": lambda: Checked(9, NOW, {}), **options}
    return export(chosen, made or release(SAMPLES), str(folder), form, **values)


@EACH_FORM
def test_the_same_release_gives_the_same_bytes_anywhere(tmp_path, form):
    """But for export.json, which says when and by whom it was checked."""
    export_to(tmp_path / "one", form, SAMPLES)
    export(
        SAMPLES, release(SAMPLES), str(tmp_path / "other"), form, owner="speech team", purpose="another",
        checked=lambda: Checked(40, NOW, {"withdrawn": 2}),
    )  # fmt: skip
    one, other = files(tmp_path / "one"), files(tmp_path / "other")
    assert one.pop(FINISHED) != other.pop(FINISHED)
    assert one == other


@EACH_FORM
def test_the_last_file_says_what_is_there(tmp_path, form):
    made = export_to(tmp_path, form, SAMPLES)
    there = files(tmp_path)
    said = ExportRecord.model_validate_json(there.pop(FINISHED))
    assert said == made
    assert (said.utterances, said.people, said.decided_position, said.checked_position) == (5, 301, 7, 9)
    assert said.audio_s == pytest.approx(sum(one.row["duration_s"] for one in SAMPLES))
    assert STARTED not in there
    for one in said.files:
        content = there.pop(one.path)
        assert (one.size_bytes, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert len(there) == said.audio_files
    assert sorted(there.values()) == sorted(one.audio for one in SAMPLES[: len(there)])


@EACH_FORM
def test_what_broke_midway_is_not_taken_for_whole_and_is_made_again(tmp_path, form):
    with pytest.raises(LakeError, match="the store is gone"):
        exported(broken(LakeError("the store is gone")), tmp_path / "out", form)
    assert FINISHED not in files(tmp_path / "out")
    assert STARTED in files(tmp_path / "out")
    exported(SAMPLES, tmp_path / "out", form)
    exported(SAMPLES, tmp_path / "fresh", form)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_a_killed_export_is_not_taken_for_whole(tmp_path):
    """SIGKILL while the third sample is waited for."""
    script = """
import os, signal, sys
from tests.exports import release, samples
from pipelines.export.export import export
from pipelines.export.record import Form
def killed():
    yield from samples()[:3]
    os.kill(os.getpid(), signal.SIGKILL)
export(killed(), release(samples()), sys.argv[1], Form.NEMO, owner="o", purpose="p", checked=None)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == -signal.SIGKILL
    assert len(files(tmp_path)) == 4
    assert FINISHED not in files(tmp_path)
    assert exported(SAMPLES, tmp_path, Form.NEMO).utterances == 5


@EACH_FORM
def test_where_consent_is_refused_midway_nothing_is_left(tmp_path, form):
    with pytest.raises(ConsentError, match="withdrawn"):
        exported(broken(ConsentError("withdrawn")), tmp_path, form)
    assert files(tmp_path) == {}


def test_where_it_is_refused_at_the_last_check_nothing_is_left(tmp_path):
    def refuses():
        raise ConsentError("withdrawn just now")

    with pytest.raises(ConsentError, match="just now"):
        exported(SAMPLES, tmp_path, checked=refuses)
    assert files(tmp_path) == {}


def test_where_consent_is_refused_somebody_else_s_file_is_left_and_nothing_of_ours(tmp_path):
    def refused():
        yield SAMPLES[0]
        (tmp_path / "notes.txt").write_text("mine")
        raise ConsentError("withdrawn")

    with pytest.raises(ConsentError, match="withdrawn"):
        exported(refused(), tmp_path, Form.NEMO)
    assert files(tmp_path) == {"notes.txt": b"mine"}


class TestPlaces:
    def test_a_finished_export_is_not_written_over(self, tmp_path):
        exported(SAMPLES, tmp_path)
        before = files(tmp_path)
        with pytest.raises(ConfigError, match="finished export"):
            exported(SAMPLES, tmp_path)
        assert files(tmp_path) == before

    def test_a_folder_with_anything_else_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(ConfigError, match="not empty"):
            exported(SAMPLES, tmp_path)
        assert files(tmp_path) == {"thesis.tex": b"years of work"}

    def test_something_else_beside_an_unfinished_export_is_left_alone(self, tmp_path):
        with pytest.raises(LakeError):
            exported(broken(LakeError("gone")), tmp_path)
        (tmp_path / "thesis.tex").write_text("years of work")
        before = files(tmp_path)
        with pytest.raises(ConfigError, match=r"holds thesis\.tex"):
            exported(SAMPLES, tmp_path)
        assert files(tmp_path) == before

    @pytest.mark.parametrize(("form", "version"), [(Form.NEMO, 2), (Form.WEBDATASET, 3)])
    def test_an_unfinished_export_of_something_else_is_left_alone(self, tmp_path, form, version):
        with pytest.raises(LakeError):
            exported(broken(LakeError("gone")), tmp_path)
        before = files(tmp_path)
        with pytest.raises(ConfigError, match="unfinished webdataset export of gold@2"):
            exported(SAMPLES, tmp_path, form, release(SAMPLES, version=version))
        assert files(tmp_path) == before

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "out").write_text("")
        with pytest.raises(ConfigError, match="no folder"):
            exported(SAMPLES, tmp_path / "out")

    def test_looking_changes_nothing(self, tmp_path):
        check_room(str(tmp_path / "absent"), release(SAMPLES), Form.NEMO)
        assert not (tmp_path / "absent").exists()

    def test_a_marker_that_is_none_is_said_in_one_line(self, tmp_path):
        (tmp_path / STARTED).write_text("{")
        with pytest.raises(ConfigError, match="not JSON"):
            exported(SAMPLES, tmp_path)

    def test_who_was_overtaken_by_another_export_does_not_finish(self, tmp_path):
        def overtaken():
            yield SAMPLES[0]
            exported(SAMPLES, tmp_path, Form.NEMO)
            yield SAMPLES[1]

        with pytest.raises(LakeError):
            exported(overtaken(), tmp_path, Form.NEMO)
        said = ExportRecord.model_validate_json((tmp_path / FINISHED).read_bytes())
        assert said.utterances == 5

    def test_who_was_overtaken_and_then_refused_leaves_the_other_alone(self, tmp_path):
        def overtaken():
            yield SAMPLES[0]
            exported(SAMPLES, tmp_path, Form.NEMO)
            raise ConsentError("withdrawn")

        with pytest.raises(ConsentError):
            exported(overtaken(), tmp_path, Form.NEMO)
        exported(SAMPLES, tmp_path.with_name(f"{tmp_path.name}-whole"), Form.NEMO)
        assert files(tmp_path) == files(tmp_path.with_name(f"{tmp_path.name}-whole"))

    def test_a_file_that_goes_missing_meanwhile_is_noticed(self, tmp_path):
        def loses():
            yield from SAMPLES
            next((tmp_path / "audio").rglob("*.flac")).unlink()

        with pytest.raises(LakeError, match="begins again"):
            exported(loses(), tmp_path, Form.NEMO)
        assert FINISHED not in files(tmp_path)


@EACH_FORM
def test_object_stores_get_the_same_bytes(tmp_path, form):
    root = Root(f"memory://exports/{form.value}")
    try:
        export_to(root.uri, form, SAMPLES)
        export_to(tmp_path, form, SAMPLES)
        there = {info.path: root.read(info.path) for info in root.list()}
        assert there == files(tmp_path)
    finally:
        root.filesystem.rm(root.base, recursive=True)


@EACH_FORM
def test_where_nothing_is_left_nothing_is_written(tmp_path, form):
    with pytest.raises(ConsentError, match="nothing to export"):
        exported([], tmp_path, form)
    assert files(tmp_path) == {}


def test_audio_that_is_none_is_said_in_one_line(tmp_path):
    import dataclasses

    noise = dataclasses.replace(sample(0), audio=b"no audio at all")
    with pytest.raises(LakeError, match=r"\.flac cannot be read as audio"):
        exported([noise], tmp_path, Form.LHOTSE)
