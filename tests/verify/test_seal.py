"""The seal: what is collected before an erasure, at rest, keyed, and destroyed."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

from lake.lake import Lake
from pipelines.verify.needles import Kind, Needles, Term
from pipelines.verify.scan import scan
from pipelines.verify.seal import destroy, keyed, read_seal, write_seal
from provoice.sealing import seal, text_pieces
from schemas.errors import ConfigError
from tests.builders import Made, small_lake, write_run
from tests.verify.canaries import erased_voice, voices_of

KEY = b"a key of thirty-two bytes, or so"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_lake(tmp_path_factory.mktemp("small"))


def words(needles: Needles, kind: Kind) -> set[str]:
    return {term.text for term in needles.terms if term.kind is kind}


def test_it_holds_what_the_lake_knows_of_a_person(small):
    needles = seal(small.lake, ["anna"])
    assert words(needles, Kind.SUBJECT) == {"anna"}
    assert words(needles, Kind.GRANT) == {"g-anna"}
    assert words(needles, Kind.TEXT) == {"good morning"}
    assert {"a/anna.wav", "c/broken.wav", "d/stranger.wav"} <= words(needles, Kind.PATH)
    assert all(len(one) == 32 for one in words(needles, Kind.RECORDING))


def test_a_rejected_and_a_planned_source_count_too(small):
    assert words(seal(small.lake, ["carol"]), Kind.PATH) == {"d/carol.wav"}


def test_what_others_rows_hold_is_left_out_and_counted(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    said = "we all said exactly this"
    mine, theirs = Made("a/1.wav", {"anna": None}, 1, text=said), Made("b/1.wav", {"bert": None}, 1, text=said)
    write_run(lake, tmp_path, [[mine], [theirs]], run_id="r")
    needles = seal(lake, ["anna"])
    assert words(needles, Kind.TEXT) == set()
    assert needles.not_searched["shared"] >= 1
    assert words(seal(lake, ["anna", "bert"]), Kind.TEXT) == {said}


def test_a_stranger_cannot_be_sealed(small):
    with pytest.raises(ConfigError, match="knows the subject zoe"):
        seal(small.lake, ["zoe"])


def test_it_comes_back_as_it_was_and_only_its_owner_reads_it(tmp_path):
    needles = Needles((Term(Kind.TEXT, "text 1", "good morning"),), voices_of(("voice 1", erased_voice())))
    path = tmp_path / "a.seal"
    write_seal(path, needles)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    back = read_seal(str(path))
    assert (back.terms, back.voices.labels) == (needles.terms, ("voice 1",))
    assert np.array_equal(back.voices.hashes, needles.voices.hashes)
    with pytest.raises(ConfigError, match="never written over"):
        write_seal(path, needles)


def test_a_keyed_seal_holds_no_word_and_opens_with_its_key_alone(tmp_path, small):
    needles = seal(small.lake, ["anna"])
    path = tmp_path / "a.seal.keyed"
    write_seal(path, keyed(needles, KEY))
    text = path.read_bytes()
    assert [term.label for term in needles.terms if term.text.encode() in text] == []
    with pytest.raises(ConfigError, match="is a keyed seal; set \\$PROVOICE_AUDIT_KEY"):
        read_seal(str(path))
    with pytest.raises(ConfigError, match="another key"):
        read_seal(str(path), KEY[::-1])
    plain, later = scan(small.lake.root, needles), scan(small.lake.root, read_seal(str(path), KEY))
    assert {(hit.object, hit.label) for hit in plain.hits} == {(hit.object, hit.label) for hit in later.hits}
    assert later.is_keyed


def test_it_can_be_destroyed(tmp_path):
    path = tmp_path / "a.seal"
    write_seal(path, Needles((Term(Kind.TEXT, "text 1", "good morning"),)))
    destroy(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not json", json.dumps({"format": 1}).encode()])
def test_what_is_no_seal_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "a.seal"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not a seal"):
        read_seal(str(path))


def test_a_long_text_is_looked_for_in_pieces():
    text = " ".join(f"word{n}" for n in range(100))
    pieces = text_pieces(text)
    assert len(pieces) == 4
    assert all(piece in text for piece in pieces)
    assert text.startswith(pieces[0])
    assert text.endswith(pieces[-1])
