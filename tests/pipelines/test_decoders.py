"""Decoding ahead: the same bytes, and what a decoder cannot bring, the worker decodes itself."""

from __future__ import annotations

from concurrent.futures import wait

import psutil
import pytest

from lake.lake import Lake
from lake.reader import LakeReader
from pipelines.decoders import Asked, Brought, Decoders, NotDecoded
from pipelines.sources import SourceRoot, stat_source
from schemas.errors import Reason, Rejected
from tests.runs import QUICK, digests, rows, run
from tests.speech import folder_of_clips
from transforms.decode import DecodeConfig

FEW = (*QUICK, "limits.batch_audio_s=5", "workers=1")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = folder_of_clips(tmp_path_factory.mktemp("decoders") / "raw", 6, seconds=3)
    (folder / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEnothing that anybody could decode")
    return folder


def asked(raw, tmp_path, name="clip000.wav"):
    source = stat_source(SourceRoot("raw", str(raw)), name)
    (tmp_path / name).mkdir()
    return Asked(str(raw), source, tmp_path / name, DecodeConfig())


@pytest.fixture
def decoders():
    made = Decoders(1, 3 << 29)
    yield made
    made.close()


def test_decoding_ahead_changes_no_byte(raw, tmp_path):
    run(raw, tmp_path / "without", settings=FEW)
    run(raw, tmp_path / "with", settings=(*FEW, "decoders=2"))
    assert digests(tmp_path / "with") == digests(tmp_path / "without")
    assert rows(tmp_path / "with", "select reason from recordings where status = 'rejected'") == [("unreadable",)]
    for name in ("with", "without"):
        for _, commit in LakeReader(Lake.open(str(tmp_path / name))).commits:
            assert commit.seconds["decode"] > 0
            assert commit.seconds["other"] >= 0


def test_what_a_decoder_brings_is_what_the_worker_would_have_made(raw, tmp_path, decoders):
    brought = decoders.ask(asked(raw, tmp_path)).result()
    assert isinstance(brought, Brought)
    assert brought.decoded.n_samples == 3 * brought.decoded.sample_rate_hz
    assert brought.decoded.tracks[0].native_path.is_relative_to(tmp_path)
    assert brought.seconds["decode"] > 0


def test_what_is_no_audio_is_left_to_the_worker(raw, tmp_path, decoders):
    assert decoders.ask(asked(raw, tmp_path, "broken.wav")).result().decoded is None


def test_a_source_that_is_gone_is_rejected(raw, tmp_path, decoders):
    question = asked(raw, tmp_path)
    answer = decoders.ask(Asked(str(tmp_path / "elsewhere"), question.source, question.folder, question.config))
    assert isinstance(answer.result(), Rejected)
    assert answer.result().reason is Reason.SOURCE_MISSING


def test_a_decoder_that_dies_is_replaced(raw, tmp_path, decoders):
    decoders.ask(asked(raw, tmp_path)).result()
    (mine,) = [one for one in psutil.Process().children() if "pipelines.decoders" in " ".join(one.cmdline())]
    mine.suspend()
    lost, waiting = (decoders.ask(asked(raw, tmp_path, f"clip00{n}.wav")) for n in (1, 2))
    assert not wait([lost], timeout=0.5).done
    mine.kill()
    with pytest.raises(NotDecoded):
        lost.result(timeout=60)
    assert isinstance(waiting.result(timeout=60), Brought)


def test_a_run_goes_on_where_no_decoder_starts(raw, tmp_path, monkeypatch):
    """The interpreter that decoders are started with is not there: each source is then decoded by the worker."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    starved = Decoders(1, 3 << 29)
    with pytest.raises(NotDecoded):
        starved.ask(asked(raw, tmp_path)).result(timeout=60)
    starved.close()


def test_decoders_end_when_they_are_closed(raw, tmp_path, decoders):
    decoders.ask(asked(raw, tmp_path)).result()
    mine = [one for one in psutil.Process().children() if "pipelines.decoders" in " ".join(one.cmdline())]
    decoders.close()
    assert mine
    assert not any(one.is_running() for one in mine)
