"""`provoice audit verify` on certificates: what holds is said, and what was changed since is found."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lake.commits import read_commit, read_generation
from lake.lake import Lake
from pipelines.erase.certificate import read_certificate
from tests.builders import ANNA, BEN, write_run
from tests.consents import given, grant
from tests.erasures import KEY, erased


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def lake(tmp_path):
    made = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(made, tmp_path, [[ANNA, BEN]], run_id="first")
    return made


def keys(folder, name):
    """A private key, and its public one, in files of that name."""
    private = Ed25519PrivateKey.generate()
    mine, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    mine.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return mine, public


def broken(provoice, lake, *words):
    said = provoice("audit", "verify", lake.root.uri, "--json", *words)
    found = json.loads(said.stdout)
    assert said.exit_code == (0 if found["holds"] else 1)
    return [one["said"] for one in found["findings"] if not one["holds"]]


def test_what_was_certified_holds(lake, provoice):
    assert "nothing was certified yet" in provoice("audit", "verify", lake.root.uri).stdout
    erased(lake, "anna")
    said = provoice("audit", "verify", lake.root.uri, "--bytes")
    assert said.exit_code == 0, said.stdout
    for words in (
        "holds  certificate 1, provisional: it is not signed", "holds  certificate 1: provisional: no scan has passed",
        "units rewritten, 1: commits and objects are read to the byte", "2 of 2 entries of the suppression list",
        "no plan, row or release names them", "5 statements, and all hold",
    ):  # fmt: skip
        assert words in said.stdout
    assert provoice("audit", "verify", lake.root.uri, "--certificate", "1").exit_code == 0
    missing = provoice("audit", "verify", lake.root.uri, "--certificate", "2")
    assert (missing.exit_code, "has no certificate 2; it has 1" in missing.stderr) == (2, True)


def test_whose_signature_it_is(lake, provoice, tmp_path, monkeypatch):
    mine, public = keys(tmp_path, "mine")
    _, other = keys(tmp_path, "other")
    monkeypatch.setenv("PROVOICE_CERTIFICATE_KEY_URI", str(mine))
    erased(lake, "anna")
    assert broken(provoice, lake, "--key", public) == []
    (said,) = broken(provoice, lake, "--key", other)
    assert "and not by" in said
    path = tmp_path / "lake/consent/certificates/000001.0.json"
    path.write_text(path.read_text().replace('"utterances_erased": 2', '"utterances_erased": 1'))
    assert broken(provoice, lake) == ["its signature is not one over what it says"]
    assert provoice("audit", "verify", lake.root.uri, "--key", mine).exit_code == 2


def test_an_unsigned_one_is_none_where_a_key_is_asked_for(lake, provoice, tmp_path):
    erased(lake, "anna")
    assert broken(provoice, lake, "--key", keys(tmp_path, "mine")[1]) == ["it is not signed"]


def test_what_came_back_is_found(lake, provoice, tmp_path):
    before = {stored.path: lake.root.read(stored.path) for stored in read_commit(lake, *unit(lake)).objects}
    erased(lake, "anna")
    old, new = (read_generation(lake, *unit(lake), generation) for generation in (0, 1))
    path = old.objects[0].path
    lake.root.create(path, before[path])
    assert broken(provoice, lake) == [f"unit {old.unit_id} of run first: {path} is there again, or still"]
    lake.root.delete(path)
    assert broken(provoice, lake) == []
    part = tmp_path / "lake" / new.objects[0].path
    part.write_bytes(part.read_bytes()[::-1])
    assert broken(provoice, lake) == []
    (said,) = broken(provoice, lake, "--bytes")
    assert said.endswith("has other bytes than its commit says")


def unit(lake):
    name = next(info.path for info in lake.root.list("commits/first")).rpartition("/")[2]
    return "first", name.partition(".")[0]


def test_who_is_named_again_is_found_unless_they_allowed_it(lake, provoice, tmp_path):
    erased(lake, "anna")
    write_run(lake, tmp_path, [[ANNA]], run_id="again", recipe="b")
    assert broken(provoice, lake) == ["named again in 1 rows of plans and runs: provoice erase once more"]
    lake.ledger().append([given(grant("anna", "g-anna-2"))])
    assert broken(provoice, lake) == []
    assert "anna has allowed something anew since" in provoice("audit", "verify", lake.root.uri).stdout


def test_entries_that_are_gone_are_missed(lake, provoice):
    erased(lake, "anna")
    root = lake.ledger().root
    for info in list(root.list("suppression")):
        root.delete(info.path)
    assert broken(provoice, lake) == ["0 of 2 entries of the suppression list"]
    assert read_certificate(lake, 1).certificate.suppressed == 2
    root.delete("certificates/000001.0.json")
    assert broken(provoice, lake) == ["certificates/000001.0.json, which it names, is gone"]
