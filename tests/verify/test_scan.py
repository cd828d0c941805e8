"""What a scan makes of a lake: what is expected, what cannot be opened, engines, and what a person sees."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import signal
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from lake.lake import Lake
from lake.storage import Root
from pipelines.engines.contract import Settings
from pipelines.engines.local import run as run_locally
from pipelines.erase.certificate import newest_certificate
from pipelines.erase.erase import Wanted, erase
from pipelines.snapshot import take_snapshot
from pipelines.verify import openers, walk
from pipelines.verify import scan as scans
from pipelines.verify.listings import scan_on
from pipelines.verify.needles import Kind, Needles, Term
from pipelines.verify.report import ScanReport
from pipelines.verify.scan import Expectation, scan, surroundings
from pipelines.verify.seal import keyed, write_seal
from pipelines.verify.work import ScanWork
from provoice.cli.main import cli
from provoice.sealing import seal
from schemas.errors import ConfigError, LakeError, RunStopped
from tests import erasures
from tests.builders import ANNA, BEN, Made, write_run
from tests.consents import given, grant

WORD = Term(Kind.TEXT, "text 1", "nobody may read this")


@pytest.fixture
def lake(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    lake.ledger().append([given(grant("anna")), given(grant("ben"))])
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    return lake


def folders(report: ScanReport, lake: Lake) -> set[str]:
    return {hit.object.removeprefix(lake.root.uri_of("")).split("/")[0] for hit in report.hits}


def test_what_a_run_wrote_of_a_person_is_found_wherever_it_wrote_it(lake):
    take_snapshot(lake)
    report = scan(lake.root, seal(lake, ["anna"]))
    assert folders(report, lake) == {"consent", "recordings", "runs", "shards", "snapshots", "utterances"}
    assert not report.is_clean


def test_of_a_person_who_is_not_in_it_a_lake_holds_nothing(lake):
    needles = Needles((Term(Kind.SUBJECT, "subject 1", "p-99887766"), WORD))
    assert scan(lake.root, needles).has_passed


def test_pseudonyms_in_the_ledger_are_expected_and_texts_are_not(lake):
    lake.ledger().root.create("certificates/1.json", b'{"subject": "p-12345678"}')
    lake.ledger().root.create("notices/1.json", b"nobody may read this")
    report = scan(lake.root, Needles((Term(Kind.SUBJECT, "subject 1", "p-12345678"), WORD)))
    assert [hit.object.rpartition("/")[0].rpartition("/")[2] for hit in report.expected] == ["certificates"]
    assert [hit.label for hit in report.unexpected] == ["text 1"]


def test_a_ledger_elsewhere_is_looked_through(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "ledger"))
    (tmp_path / "ledger" / "stray").write_text(WORD.text)
    report = scan(lake.root, Needles((WORD,)))
    assert report.roots == (lake.root.uri, str(tmp_path / "ledger"))
    assert [hit.object for hit in report.unexpected] == [str(tmp_path / "ledger" / "stray")]


def test_what_a_person_expects_is_named_and_kept_apart(lake, tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "list.txt").write_text("p-12345678")
    needles = Needles((Term(Kind.SUBJECT, "subject 1", "p-12345678"),))
    also = Root(str(tmp_path / "else"))
    assert not scan(lake.root, needles, [also]).is_clean
    assert scan(lake.root, needles, [also], [Expectation(also.uri)]).is_clean


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.flac", b"fLaC\0\0\0\x22" + bytes(200), ""),
        ("a.zip", b"PK\x03\x04\x14\0\x01\0\x08\0" + bytes(16) + b"\x01\0\0\0" + b"aXXXX", "encrypted"),
        ("a.wav", b"RIFF\xff\xff\0\0WAVEjunk" + bytes(100), ""),
    ],
)
def test_what_cannot_be_opened_is_named_and_proves_nothing(lake, name, data, reason):
    lake.root.create(f"shards/r/{name}", data)
    report = scan(lake.root, Needles((WORD,), seal_of_a_voice()))
    assert [one.object.rpartition("/")[2] for one in report.not_opened] == [name]
    assert reason in report.not_opened[0].reason
    assert (report.is_clean, report.is_complete, report.has_passed) == (True, False, False)


def seal_of_a_voice():
    from tests.verify.canaries import erased_voice, voices_of

    return voices_of(("voice 1", erased_voice()))


def test_what_unpacks_without_end_is_not_unpacked_to_the_end(lake, monkeypatch):
    monkeypatch.setattr(walk, "_ALLOWED_BYTES", 1 << 20)
    lake.root.create("logs/bomb.gz", gzip.compress(bytes(8 << 20)))
    report = scan(lake.root, Needles((WORD,)))
    assert "unpacks to more than" in report.not_opened[0].reason


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_what_unpacks_to_much_is_looked_through_on_disk(lake, monkeypatch, pack):
    monkeypatch.setattr(openers, "_IN_MEMORY_BYTES", 1 << 20)
    lake.root.create("logs/much", pack(bytes(9 << 20) + WORD.text.encode() + bytes(9 << 20)))
    report = scan(lake.root, Needles((WORD,)))
    assert [(hit.label, hit.offset) for hit in report.unexpected] == [("text 1", 9 << 20)]


def test_a_folder_that_is_no_lake_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not a lake"):
        scan(Root(str(tmp_path)), Needles((WORD,)))


# --- engines ----------------------------------------------------------------------------------------------------------


def by_engine(lake, tmp_path, needles, run=run_locally):
    if not (tmp_path / "a.seal").exists():
        write_seal(tmp_path / "a.seal", needles)
    roots, expected = surroundings(lake.root)
    work = ScanWork(str(tmp_path / "a.seal"), str(tmp_path / "work"), tuple(expected))
    return scan_on(run, Settings(processes=2), roots, needles, work, {"of": "a test"})


def test_an_engine_finds_what_is_found_in_one_process(lake, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.verify.work._BATCH_OBJECTS", 20)
    needles = seal(lake, ["anna"])
    here, there = scan(lake.root, needles), by_engine(lake, tmp_path, needles)
    assert set(here.hits) == set(there.hits)
    assert (here.objects, here.size_bytes, here.unpacked_bytes) == (
        there.objects,
        there.size_bytes,
        there.unpacked_bytes,
    )


def test_a_scan_that_was_broken_off_goes_on_with_what_has_no_receipt(lake, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.verify.work._BATCH_OBJECTS", 10)
    needles = seal(lake, ["anna"])

    def breaking(tasks, work, settings):
        yield from run_locally(tasks[:1], work, settings)
        raise RunStopped("the machine went away")

    with pytest.raises(RunStopped):
        by_engine(lake, tmp_path, needles, run=breaking)
    asked = []

    def noting(tasks, work, settings):
        asked.extend(task.name for task in tasks)
        return run_locally(tasks, work, settings)

    begun = datetime.now(UTC)
    lake.root.create("logs/later.log", WORD.text.encode())  # came after the listing
    report = by_engine(lake, tmp_path, needles, run=noting)
    receipts = [info.path for info in Root(str(tmp_path / "work")).list("receipts")]
    assert len(asked) == len(receipts) - 1 > 1
    assert report.listed_at < begun
    assert report.objects == scan(lake.root, needles).objects - 1
    with pytest.raises(ConfigError, match="holds a scan for other needles"):
        scan_on(run_locally, Settings(), [lake.root], needles, ScanWork("", str(tmp_path / "work")), {"of": "another"})


def test_a_folder_that_holds_something_else_is_refused(lake, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "receipt.json").write_text("{}")
    with pytest.raises(ConfigError, match="something else than a scan"):
        by_engine(lake, tmp_path, Needles((WORD,)))


def test_what_gets_its_name_while_it_is_looked_for_is_found_under_it(lake, monkeypatch):
    """A writer finishes its file between the listing of its folder and the look into it."""
    begun, done = "logs/.provoice-unfinished-00aa11bb22cc33dd", "logs/.a-done"
    lake.root.create(begun, WORD.text.encode())
    real = scans.content_of

    def moving(root, place):
        if place.path == begun:
            os.rename(root.uri_of(begun), root.uri_of(done))
        return real(root, place)

    monkeypatch.setattr(scans, "content_of", moving)
    report = scan(lake.root, Needles((WORD,)))
    assert [hit.object for hit in report.unexpected] == [lake.root.uri_of(done)]
    assert (report.vanished, report.is_complete) == (1, True)


def test_a_lake_in_which_things_go_away_again_and_again_proves_nothing(lake, monkeypatch):
    real = scans.content_of

    def coming_and_going(root, place):
        if place.path.startswith("logs/"):
            root.delete(place.path)
            root.create(f"{place.path}-and-on", b"nothing in it")
        return real(root, place)

    lake.root.create("logs/on", b"nothing in it")
    monkeypatch.setattr(scans, "content_of", coming_and_going)
    report = scan(lake.root, Needles((WORD,)))
    assert (report.is_clean, report.is_complete, report.has_passed) == (True, False, False)
    assert "went away" in report.not_opened[0].reason


def test_what_cannot_be_read_is_named_and_the_rest_is_looked_through(lake, monkeypatch):
    lake.root.create("logs/closed-p-12345678", b"")
    lake.root.create("logs/open", WORD.text.encode())
    real = scans.content_of

    def refusing(root, place):
        if place.path.startswith("logs/closed"):
            raise LakeError(f"{root.uri_of(place.path)}: permission denied") from PermissionError(13, "denied")
        return real(root, place)

    monkeypatch.setattr(scans, "content_of", refusing)
    subject = Term(Kind.SUBJECT, "subject 1", "p-12345678")
    report = scan(lake.root, Needles((WORD, subject)))
    assert [one.object.rpartition("/")[2] for one in report.not_opened] == ["closed-‹subject 1›"]
    assert "permission denied" in report.not_opened[0].reason
    assert subject.text not in report.model_dump_json()
    assert {hit.label for hit in report.unexpected} == {"subject 1", "text 1"}
    assert not report.has_passed


@pytest.mark.long
def test_an_object_that_kills_its_reader_is_searched_for_words_and_named(lake, tmp_path):
    lake.root.create("logs/deadly.gz", gzip.compress(b"kill me") + WORD.text.encode())
    report = by_engine(lake, tmp_path, Needles((WORD,)), run=_dying)
    assert [one.object.rpartition("/")[2] for one in report.not_opened] == ["deadly.gz"]
    assert "died" in report.not_opened[0].reason
    assert [hit.object.rpartition("/")[2] for hit in report.unexpected] == ["deadly.gz"]


def _dying(tasks, work, settings):
    """The local engine, with children whose gzip ends them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.verify.work._batch", _deadly_batch)
        yield from run_locally(tasks, work, settings)


def _deadly_batch(*words):
    from pipelines.verify import work

    real = openers.OPENERS[0].open

    def deadly(data, at, allowed):
        for name, content in real(data, at, allowed):
            if content == b"kill me":
                os.kill(os.getpid(), signal.SIGKILL)
            yield name, content

    walk.OPENERS = (openers.Opener("gzip", openers.OPENERS[0].magics, deadly), *openers.OPENERS[1:])
    work._batch(*words)


# --- what a person sees -----------------------------------------------------------------------------------------------


def provoice(*words: str, key: str | None = None):
    environment = {"PROVOICE_AUDIT_KEY": key or ""}
    return CliRunner().invoke(cli, [str(word) for word in words], env=environment)


@pytest.fixture
def dora(lake, tmp_path, monkeypatch):
    """Somebody who has taken everything back, sealed before anything of hers is erased; the seal's path."""
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", erasures.KEY)
    made = Made("d/dora-1.wav", {"dora": None}, 1, text="what only Dora says here")
    write_run(lake, tmp_path, [[made]], run_id="d")
    erasures.withdrawn(lake, "dora")
    path = tmp_path / "dora.seal"
    assert provoice("audit", "seal", lake.root.uri, "--subject", "dora", "--out", path).exit_code == 0
    return path


def test_from_a_seal_to_a_final_certificate_and_a_later_scan(lake, dora, monkeypatch):
    key, scanned = "0123456789abcdef0123", ("audit", "scan", lake.root.uri, "--seal")
    assert erase(lake, Wanted(("dora",))).is_finished
    lake.root.create("logs/left.log", b"what only Dora says here, in d/dora-1.wav")
    found = provoice(*scanned, dora, "--finish", key=key)
    assert (found.exit_code, "FOUND" in found.stdout) == (4, True)
    for name in ("dora", "d/dora-1.wav", "what only Dora says"):
        assert name not in found.stdout.replace(str(dora), "")
    assert (newest_certificate(lake, 1).certificate.status, dora.exists()) == ("provisional", True)
    lake.root.delete("logs/left.log")

    def dying(_path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("provoice.certify.destroy", dying)
        assert provoice(*scanned, dora, "--finish", key=key).exit_code != 0
    final = newest_certificate(lake, 1)
    assert (final.certificate.status, dora.exists()) == ("final", True)

    passed = provoice(*scanned, dora, "--finish", key=key)
    assert (passed.exit_code, dora.exists()) == (0, False)
    assert "certificate 1 is final" in passed.stdout
    assert newest_certificate(lake, 1) == final
    assert final.certificate.proof.looked_for["text"] == 1

    lake.root.create("logs/again.log", b"d/dora-1.wav has come back")
    later = provoice(*scanned, f"{dora}.keyed", "--json", key=key)
    assert later.exit_code == 4
    said = json.loads(later.stdout)
    again = {(hit["object"], hit["kind"]) for hit in said["hits"] if not hit["is_expected"]}
    assert again == {(lake.root.uri_of("logs/again.log"), kind) for kind in ("path", "subject")}
    assert provoice(*scanned, f"{dora}.keyed").exit_code == 2


@pytest.mark.usefixtures("dora")
def test_what_a_scan_cannot_vouch_for_stays_provisional_and_the_seal_stays(lake, tmp_path):
    key, late = "0123456789abcdef0123", tmp_path / "late.seal"
    assert erase(lake, Wanted(("dora",))).is_finished
    assert provoice("audit", "seal", lake.root.uri, "--subject", "dora", "--out", late).exit_code == 0
    passed = provoice("audit", "scan", lake.root.uri, "--seal", late, "--finish", key=key)
    assert (passed.exit_code, late.exists()) == (1, True)
    assert "certificate 1 stays provisional: the seal was made when erasing had begun" in passed.stdout


def test_a_scan_that_could_end_nothing_is_not_begun(lake, dora, tmp_path):
    asked, key = ("audit", "scan", lake.root.uri, "--finish", "--seal"), "0123456789abcdef0123"
    write_seal(tmp_path / "made.seal", Needles((WORD,)))
    write_seal(tmp_path / "made.keyed", keyed(Needles((WORD,)), key.encode()))
    for seal_path, given_key, said in (
        (dora, None, "set $PROVOICE_AUDIT_KEY"),
        (dora, key, "has no certificate of dora"),
        (tmp_path / "made.seal", key, "does not say when"),
        (tmp_path / "made.keyed", key, "is a keyed one"),
    ):
        done = provoice(*asked, seal_path, key=given_key)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_exit_code_1_where_not_all_could_be_opened(lake, tmp_path):
    lake.root.create("shards/r/a.zip", b"PK\x03\x04\x14\0\x01\0\x08\0" + bytes(16) + b"\x01\0\0\0" + b"aXXXX")
    write_seal(tmp_path / "a.seal", Needles((WORD,)))
    done = provoice("audit", "scan", lake.root.uri, "--seal", tmp_path / "a.seal")
    assert done.exit_code == 1
    assert "no proof yet" in done.stdout
    assert (tmp_path / "a.seal").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("seal", "{lake}", "--subject", "anna", "--out", "{lake}/a.seal"), "lies within"),
        (("seal", "{lake}", "--subject", "anna", "--out", "s3://bucket/a"), "a file on this machine"),
        (("scan", "{lake}", "--seal", "{folder}/none.seal"), "there is no such seal"),
        (("scan", "{folder}", "--seal", "{folder}/none.seal"), "is not a lake"),
        (("scan", "{lake}", "--seal", "{folder}/none.seal", "--work", "{lake}/logs"), "receipts lie outside"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(lake, tmp_path, words, said):
    done = provoice("audit", *(word.format(lake=lake.root.uri, folder=tmp_path) for word in words))
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
