"""A certificate is final when a scan has passed that knew all of it; every other scan leaves it provisional."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lake.lake import Lake
from pipelines.erase.certificate import newest_certificate, read_certificate
from pipelines.erase.check import check_certificates
from pipelines.erase.erase import Wanted, erase
from pipelines.erase.final import Judged, Scan, judge
from pipelines.erase.signing import is_signed
from tests.builders import ANNA, BEN, write_run
from tests.erasures import KEY, erased, files_of, withdrawn

SEEN = {"hits": [{"is_expected": True}], "not_opened": [], "without": [], "is_keyed": False}
REPORT = json.dumps(SEEN).encode()
_SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def lake(tmp_path):
    made = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(made, tmp_path, [[ANNA, BEN]], run_id="first")
    return made


def scan_of(lake, **said):
    """A scan that may make the first certificate final."""
    clocks = read_certificate(lake, 1).certificate.clocks
    values = {
        "subjects": frozenset({"anna"}), "sealed_lake": lake.root.uri, "sealed_at": clocks.began_at - _SECOND,
        "recordings": 1, "has_passed": True, "listed_at": clocks.purged_at + _SECOND,
        "ended_at": clocks.purged_at + 2 * _SECOND, "roots": (lake.root.uri,), "objects": 12, "size_bytes": 3456,
        "unpacked_bytes": 789, "sound_s": 1.0, "looked_for": {"subject": 1, "key": 2}, "not_searched": {"shared": 3},
        "expected": 4, "report": REPORT,
    }  # fmt: skip
    return Scan(**{**values, **said})


def test_a_scan_that_knew_all_of_it_makes_it_final(lake):
    erased(lake, "anna")
    provisional = read_certificate(lake, 1).certificate
    before = files_of(lake)
    (judged,) = judge(lake, scan_of(lake))
    assert judged == Judged(1, f"{lake.ledger().root.uri}/certificates/000001.1.json", None)
    final = newest_certificate(lake, 1).certificate
    assert (final.generation, final.status) == (1, "final")
    assert final.clocks.proved_at == provisional.clocks.purged_at + 2 * _SECOND
    assert final.proof.report_sha256 == hashlib.sha256(REPORT).hexdigest()
    assert lake.ledger().root.read(final.proof.report) == REPORT
    said = {"generation", "status", "clocks", "proof"}
    assert final.model_dump(exclude=said) == provisional.model_dump(exclude=said)
    after = files_of(lake)
    assert {name: after[name] for name in before} == before  # the provisional one is kept as it was
    assert all(finding.holds for finding in check_certificates(lake, 1))
    page = lake.ledger().root.read("certificates/000001.1.html").decode()
    for words in ("Final.", "12 objects", "3,456 bytes", "subject: 1, key: 2", "other people&#x27;s rows"):
        assert words in page


def test_the_first_to_prove_it_holds(lake):
    erased(lake, "anna")
    first = list(judge(lake, scan_of(lake)))
    before = files_of(lake)
    assert list(judge(lake, scan_of(lake, report=b"{}", objects=13))) == first
    assert files_of(lake) == before


def test_every_other_scan_leaves_it_provisional(lake):
    erased(lake, "anna")
    clocks = read_certificate(lake, 1).certificate.clocks
    for said, why in (
        ({"has_passed": False}, "has not passed"),
        ({"sealed_lake": "gs://other/lake"}, "of another lake"),
        ({"recordings": 0}, "knows 0 of the 1 recordings"),
        ({"roots": ("/elsewhere",)}, "left out"),
        ({"sealed_at": clocks.began_at + _SECOND / 1000}, "when erasing had begun"),
        ({"listed_at": clocks.purged_at - _SECOND / 1000}, "before all was purged"),
    ):
        (judged,) = judge(lake, scan_of(lake, **said))
        assert why in judged.why_not
    assert newest_certificate(lake, 1).certificate.status == "provisional"


def test_of_others_it_says_nothing_and_of_some_not_enough(lake):
    erased(lake, "anna", "ben")
    assert list(judge(lake, scan_of(lake, subjects=frozenset({"dora"})))) == []
    (judged,) = judge(lake, scan_of(lake, recordings=2))
    assert "not about ben" in judged.why_not


def test_what_is_not_at_its_end_is_told(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[BEN], [ANNA]], run_id="r", committed=1)
    erased(lake, "ben")
    withdrawn(lake, "anna")
    assert not erase(lake, Wanted(("anna",))).is_finished
    (judged,) = judge(lake, scan_of(lake))
    assert (judged.number, judged.uri) == (2, "")
    assert "not finished" in judged.why_not


def test_it_is_signed_like_the_first(lake, tmp_path, monkeypatch):
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    monkeypatch.setenv("PROVOICE_CERTIFICATE_KEY_URI", str(tmp_path / "key.pem"))
    erased(lake, "anna")
    list(judge(lake, scan_of(lake)))
    signed = newest_certificate(lake, 1)
    assert is_signed(signed.certificate.text(), signed.signature)


def test_a_report_that_is_gone_or_another_is_found(lake):
    erased(lake, "anna")
    list(judge(lake, scan_of(lake)))
    root, path = lake.ledger().root, newest_certificate(lake, 1).certificate.proof.report
    for report in (None, b"{}", b"no report"):
        root.delete(path)
        if report is not None:
            root.create(path, report)
        (said,) = [finding.said for finding in check_certificates(lake, 1) if not finding.holds]
        assert "report of its scan" in said


def test_a_final_one_that_says_more_is_found(lake):
    erased(lake, "anna")
    list(judge(lake, scan_of(lake)))
    root, path = lake.ledger().root, "certificates/000001.1.json"
    text = root.read(path).replace(b'"utterances_erased": 2', b'"utterances_erased": 3')
    root.delete(path)
    root.create(path, text)
    (said,) = [finding.said for finding in check_certificates(lake, 1) if not finding.holds]
    assert "another thing than the provisional" in said


def test_a_report_that_has_not_passed_proves_nothing(lake):
    """Whoever made a final certificate of it has not asked it."""
    erased(lake, "anna")
    for said in ({"hits": [{"is_expected": False}]}, {"not_opened": [{}]}, {"without": ["tar"]}, {"is_keyed": True}):
        list(judge(lake, scan_of(lake, report=json.dumps({**SEEN, **said}).encode())))
        assert [finding.holds for finding in check_certificates(lake, 1)].count(False) == 1
        for ending in ("json", "html"):
            lake.ledger().root.delete(f"certificates/000001.1.{ending}")
