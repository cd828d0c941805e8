"""A certificate says what went and what stays, is signed where a key is given, and names nobody but by pseudonym."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lake.commits import read_commit, read_commits
from pipelines.erase.certificate import read_certificate
from pipelines.erase.closure import find
from pipelines.erase.erase import Wanted, erase
from pipelines.erase.signing import is_signed
from schemas.errors import ConfigError
from schemas.ledger import EventType
from tests.builders import small_lake
from tests.erasures import KEY, erased, withdrawn
from tests.releases import crowd


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def small(tmp_path):
    return small_lake(tmp_path).lake


def pem(path, private):
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(path)


def test_it_says_what_went_and_when(small):
    before = {(c.run_id, c.unit_id): c for run in ("first", "second", "look") for c in read_commits(small, run)}
    outcome = erased(small, "anna")
    said = read_certificate(small, 1).certificate
    assert outcome.certificate.endswith("consent/certificates/000001.0.json")
    assert (said.status, said.subjects, said.looks) == ("provisional", ("anna",), 2)
    assert said.clocks.denied_at["anna"] <= said.clocks.began_at < said.clocks.purged_at
    assert (said.clocks.notified_at, said.clocks.proved_at) == (None, None)
    assert (said.recordings, said.sources_erased, said.utterances_erased) == (7, 10, 10)
    assert {(one.run_id, one.unit_id) for one in said.units} == set(before)
    for one in said.units:
        old, new = before[one.run_id, one.unit_id], read_commit(small, one.run_id, one.unit_id)
        assert set(one.sha256_before) == {stored.sha256 for stored in old.objects}
        assert set(one.sha256_after) == {stored.sha256 for stored in new.objects}
    assert said.objects_swept == outcome.removed > 0
    assert {one.what: one.count for one in said.exceptions} == {"ledger": 1}
    events = {event.type: event for _, event in small.ledger().events()}
    assert events[EventType.ERASED].note == "certificates/000001.0.json"
    assert events[EventType.ERASURE_STARTED].subject_id == "anna"


def test_it_names_releases_and_who_opened_them(tmp_path):
    from provoice.loader.opening import open_release

    made = crowd(tmp_path, people=4, lasting=True)
    late = datetime(2099, 1, 1, tzinfo=UTC)
    use = made.release().use.model_copy(update={"until": late})
    made.release("snr_db < 2", use=use)
    made.release("snr_db >= 2", use=use)
    for version in (2, 3):
        open_release(made.uri, "gold", version, owner=f"team {version}", purpose="speech")
    erased(made.lake, "p001")
    said = read_certificate(made.lake, 1).certificate
    assert [(one.name, one.version, one.by) for one in said.releases] == [("gold", 1, 4), ("gold", 2, 5)]
    assert [(one.release, one.owner, one.what) for one in said.copies] == [("gold@2", "team 2", "opened for speech")]
    page = (tmp_path / "lake/consent/certificates/000001.0.html").read_text()
    for word in ("gold@2", "gold@5", "team 2", "p001", "Provisional.", "no key was configured"):
        assert word in page
    # Who opened what an earlier erasure has replaced holds those who are erased later, too.
    erased(made.lake, "p000")
    later = read_certificate(made.lake, 2).certificate
    assert {one.version for one in later.releases} == {4, 5}
    assert [(one.release, one.owner) for one in later.copies] == [("gold@2", "team 2")]


def test_no_path_and_no_key_stands_in_it(small):
    found = find(small, ["anna"])
    erased(small, "anna")
    for ending in ("json", "html"):
        text = small.ledger().root.read(f"certificates/000001.0.{ending}").decode()
        for row in found.touched.to_pylist():
            assert row["source_path"] not in text
            assert row["recording_id"] not in text


def test_it_is_signed_with_the_key_that_is_configured(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PROVOICE_CERTIFICATE_KEY_URI", pem(tmp_path / "key.pem", Ed25519PrivateKey.generate()))
    erased(small, "ben")
    signed = read_certificate(small, 1)
    assert is_signed(signed.certificate.text(), signed.signature)
    other = signed.certificate.model_copy(update={"utterances_erased": 0})
    assert not is_signed(other.text(), signed.signature)
    stored = json.loads(small.ledger().root.read("certificates/000001.0.json"))
    assert stored["signature"]["algorithm"] == "ed25519"
    assert stored["signature"]["public_key"] in small.ledger().root.read("certificates/000001.0.html").decode()


@pytest.mark.parametrize("said", ["missing", "no key", "another kind"])
def test_a_key_that_is_none_is_told_before_anything_is_done(small, tmp_path, monkeypatch, said):
    path = tmp_path / "key.pem"
    if said == "no key":
        path.write_text("words")
    elif said == "another kind":
        pem(path, generate_private_key(SECP256R1()))
    monkeypatch.setenv("PROVOICE_CERTIFICATE_KEY_URI", str(path))
    withdrawn(small, "anna")
    with pytest.raises(ConfigError, match="PROVOICE_CERTIFICATE_KEY_URI"):
        erase(small, Wanted(("anna",)))
    assert find(small, ["anna"])
