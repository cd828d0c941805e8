"""Audit rows: who is in a release and on what; they stay when its index goes, and prove one utterance."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lake import merkle
from lake.audit import put_rows, read_rows, stored_rows
from lake.lake import Lake
from lake.parts import read_part, write_table
from lake.releases import create_release, list_releases, put_index_part, read_release
from pipelines.release.audit import audit_rows
from pipelines.release.proof import check_audit_rows, check_proof, prove, rows_of
from schemas.audit import AUDIT_SCHEMA
from schemas.consent_tables import RELEASE_INDEX_SCHEMA
from schemas.errors import ConfigError, LakeError
from tests.consents import given, grant
from tests.erasures import KEY, erased, withdrawn
from tests.releases import crowd


@pytest.fixture
def made(tmp_path):
    return crowd(tmp_path, people=3, pairs=[(0, 1)])


def stated(lake, record):
    return {(row["subject_id"], row["grant_id"], row["rule"]): row for row in rows(lake, record).to_pylist()}


def rows(lake, record):
    stored = stored_rows(record)
    assert stored is not None
    return read_rows(lake, stored)


def before_there_were_any(made, tmp_path):
    """A release as an earlier provoice made it."""
    record = made.release()
    old = record.model_copy(update={"version": record.version + 1, "audit": None, "index": ()})
    part = read_part(made.lake.root, record.index[0].path).cast(RELEASE_INDEX_SCHEMA)
    place = tmp_path / "part.parquet"
    size, sha256 = write_table(place, part, 1000)
    index = put_index_part(made.lake, record.name, old.version, 0, (place, size, sha256, part.num_rows))
    return create_release(made.lake, old.model_copy(update={"index": (index,)}).sealed())


def test_a_row_counts_and_vouches_for_a_persons_utterances(made):
    record = made.release()
    found = stated(made.lake, record)
    assert set(found) == {(f"p00{n}", f"g-p00{n}", 0) for n in range(3)}
    for (who, _, _), row in found.items():
        keys = sorted(key.encode() for key in made.keys(who))
        assert (row["utterances"], row["audio_s"], row["root"]) == (len(keys), len(keys), None)
        assert (row["release"], row["version"]) == ("gold", 1)
    with_roots = rows_of(made.lake, record, with_roots=True).to_pylist()
    assert [row["root"] for row in with_roots] == [
        merkle.root(sorted(key.encode() for key in made.keys(row["subject_id"]))).hex() for row in with_roots
    ]
    assert record.audit is not None
    assert record.audit.path.startswith("audit/gold/1/rows-")


def test_two_grants_of_a_person_are_two_rows(made):
    only = grant(
        "p002", "a-narrower", scope={"kind": "recordings", "recordings": [{"root": "raw", "path": "p002/0.wav"}]}
    )
    made.record(given(only))
    found = stated(made.lake, made.release())
    assert {name[1]: row["utterances"] for name, row in found.items() if name[0] == "p002"} == {
        "a-narrower": 2, "g-p002": 2,
    }  # fmt: skip


def test_the_rows_are_the_index_again_and_what_differs_is_named(made):
    record = made.release()
    assert [(one.holds, one.said) for one in check_audit_rows(made.lake)] == [
        (True, "3 audit rows are what follows from its index")
    ]
    lied = rows(made.lake, record).to_pylist()
    lied[1]["utterances"] += 1
    lied[2]["root"] = "00" * 32
    other = put_rows(made.lake, "gold", 2, pa.Table.from_pylist(lied, AUDIT_SCHEMA))
    create_release(made.lake, record.model_copy(update={"version": 2, "audit": other}).sealed())
    *_, found = check_audit_rows(made.lake)
    assert not found.holds
    assert "p001 on g-p001, rule 0: other utterances; p002 on g-p002, rule 0: other root" in found.said


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_rows_that_are_not_what_was_written_are_found(made, how):
    record = made.release()
    root = made.lake.ledger().root
    data = root.read(record.audit.path)
    root.delete(record.audit.path)
    if how == "changed":
        root.create(record.audit.path, data + b" ")
    with pytest.raises(LakeError, match="is gone" if how == "gone" else "not what was once written"):
        rows(made.lake, record)
    (found,) = check_audit_rows(made.lake)
    assert not found.holds


def test_one_utterance_proves_that_it_was_in_it(made):
    record = made.release()
    both = min(made.keys("p000") & made.keys("p001"))
    found = prove(made.lake, record, both).proofs
    assert [one.subject_id for one in found] == ["p000", "p001"]
    for one in found:
        assert check_proof(made.lake, one).holds
    other = min(made.keys("p000") - made.keys("p001"))
    for changed in (
        {"key": other}, {"root": "00" * 32}, {"rule": 1}, {"subject_id": "p002"}, {"release_sha256": "00" * 32},
        {"index": found[0].index ^ 1}, {"path": ("no hex",)}, {"size": found[0].size - 1},
    ):  # fmt: skip
        assert not check_proof(made.lake, found[0].model_copy(update=changed)).holds, changed
    with pytest.raises(ConfigError, match="has no utterance nothing"):
        prove(made.lake, record, "nothing")


def test_counts_and_roots_stay_when_somebody_is_erased_and_keys_do_not(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    record = made.release()
    before = rows_of(made.lake, record, with_roots=True)
    key = min(made.keys("p002"))
    proof = prove(made.lake, record, key).proofs[0]
    erased(made.lake, "p002")
    old, new = list_releases(made.lake)
    assert old.index == ()
    assert rows(made.lake, old).equals(before)
    assert {row["subject_id"] for row in rows(made.lake, new).to_pylist()} == {"p000", "p001"}
    follows = audit_rows(made.lake, "gold", 2, new.index, with_roots=False)
    assert rows(made.lake, new).to_pylist() == follows.to_pylist()
    assert [one.holds for one in check_audit_rows(made.lake)] == [True, True]
    assert check_proof(made.lake, proof).holds
    with pytest.raises(ConfigError, match="was erased; only proofs that were made before"):
        prove(made.lake, old, key)
    for stored in (old.audit, old.replaced.audit):
        assert key.encode() not in made.lake.ledger().root.read(stored.path)


def test_a_release_from_before_has_them_when_its_index_goes(made, tmp_path, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    old = before_there_were_any(made, tmp_path)
    assert stored_rows(old) is None
    assert "made before there were audit rows; they follow from its index" in list(check_audit_rows(made.lake))[1].said
    made_of_it = audit_rows(made.lake, old.name, old.version, old.index)
    counted = rows_of(made.lake, old)
    assert counted.drop_columns(["root"]).equals(made_of_it.drop_columns(["root"]))
    assert counted["root"].null_count == counted.num_rows
    erased(made.lake, "p002")
    again = read_release(Lake.open(made.uri), old.name, old.version)
    assert again.audit is None
    assert rows(made.lake, again).to_pylist() == made_of_it.to_pylist()


def test_what_takes_the_place_of_an_older_choice_is_not_opened_by_name(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    made.release()
    withdrawn(made.lake, "p002")
    assert made.release().version == 2
    erased(made.lake, "p002")
    first, second, third = list_releases(made.lake)
    assert (first.replaced.by, second.replaced, third.replaces.version) == (3, None, 1)
    assert read_release(made.lake, "gold").version == 2
    erased(made.lake, "p001")
    assert [one.version for one in list_releases(made.lake) if one.replaced is None] == [4, 5]
    assert read_release(made.lake, "gold").replaces.version == 2
