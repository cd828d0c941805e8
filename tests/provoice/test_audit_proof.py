"""`provoice audit prove`, `check` and `verify` on the command line."""

from __future__ import annotations

import json

import pytest

from lake.releases import read_release
from tests.releases import crowd


@pytest.fixture
def made(tmp_path):
    made = crowd(tmp_path, people=2, sources=1)
    made.release()
    return made


def test_a_proof_is_written_read_and_refused(made, provoice, tmp_path):
    key = min(made.keys("p001"))
    said = provoice("audit", "prove", made.uri, "gold", key)
    assert said.exit_code == 0, said.stderr
    assert "was in gold@1 for p001, on g-p001, rule 0\n  as number 1 of 2\n" in said.stdout
    proof = tmp_path / "proof.json"
    proof.write_text(provoice("audit", "prove", made.uri, "gold@1", key, "--json").stdout)
    done = provoice("audit", "check", made.uri, proof)
    assert (done.exit_code, done.stdout.startswith("holds  ")) == (0, True)
    changed = json.loads(proof.read_text())
    changed["proofs"][0]["key"] = max(made.keys("p001"))
    proof.write_text(json.dumps(changed))
    done = provoice("audit", "check", made.uri, proof)
    assert (done.exit_code, done.stdout.startswith("FAILS  ")) == (1, True)


@pytest.mark.parametrize("text", ["{", "[]", '{"proofs": 1}'])
def test_what_is_no_proof_is_told(made, provoice, tmp_path, text):
    proof = tmp_path / "proof.json"
    proof.write_text(text)
    done = provoice("audit", "check", made.uri, proof)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_verify_looks_at_audit_rows(made, provoice):
    said = provoice("audit", "verify", made.uri)
    assert said.exit_code == 0, said.stderr
    assert "holds  release gold@1: 2 audit rows are what follows from its index" in said.stdout
    stored = read_release(made.lake, "gold").audit
    made.lake.ledger().root.delete(stored.path)
    said = provoice("audit", "verify", made.uri)
    assert (said.exit_code, "FAILS  release gold@1" in said.stdout) == (1, True)
