"""Merkle trees: the heads that certificate transparency publishes for its own test, and what a proof must not allow."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.merkle import EMPTY, leaf_hash, node_hash, path, root, root_by

KNOWN_ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
KNOWN_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Of the first one, two, … of KNOWN_ENTRIES: the vectors of certificate-transparency's `merkle_tree_test`."""

SOME = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@st.composite
def proofs(draw):
    """Entries, the place of one of them, and its path."""
    entries = draw(SOME)
    index = draw(st.integers(0, len(entries) - 1))
    return entries, index, path(entries, index)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_heads(size):
    assert root(KNOWN_ENTRIES[:size]).hex() == KNOWN_ROOTS[size - 1]
    for index in range(size):
        beside = path(KNOWN_ENTRIES[:size], index)
        assert root_by(KNOWN_ENTRIES[index], index, size, beside) == bytes.fromhex(KNOWN_ROOTS[size - 1])


def test_the_head_of_nothing_is_the_hash_of_nothing():
    assert root([]) == EMPTY == hashlib.sha256(b"").digest()


def by_definition(entries):
    """RFC 6962, 2.1, word for word."""
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(entries[:k]) + by_definition(entries[k:])).digest()


@given(SOME)
def test_it_is_the_tree_of_the_definition(entries):
    assert root(entries) == by_definition(entries)


@given(proofs())
def test_every_entry_can_be_proved(proof):
    entries, index, beside = proof
    assert root_by(entries[index], index, len(entries), beside) == root(entries)


@given(proofs(), st.binary(max_size=8))
def test_another_entry_cannot(proof, other):
    entries, index, beside = proof
    if other != entries[index]:
        assert root_by(other, index, len(entries), beside) != root(entries)


@given(proofs(), st.data())
def test_a_changed_neighbour_changes_the_head(proof, data):
    entries, index, beside = proof
    if beside:
        n = data.draw(st.integers(0, len(beside) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(beside[n], "big") ^ (1 << bit)).to_bytes(32, "big")
        changed = [*beside[:n], flipped, *beside[n + 1 :]]
        assert root_by(entries[index], index, len(entries), changed) != root(entries)


@given(proofs())
def test_a_path_of_another_length_is_none(proof):
    entries, index, beside = proof
    assert root_by(entries[index], index, len(entries), [*beside, EMPTY]) is None
    if beside:
        assert root_by(entries[index], index, len(entries), beside[:-1]) is None
        assert root_by(entries[index], index, len(entries), [*beside[:-1], b"short"]) is None


@given(proofs(), st.integers(-3, 80))
def test_at_another_place_it_proves_nothing(proof, elsewhere):
    entries, index, beside = proof
    if elsewhere != index and len(set(entries)) == len(entries):
        assert root_by(entries[index], elsewhere, len(entries), beside) != root(entries)


def test_a_node_cannot_pass_as_a_leaf():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert root([b"a", b"b"]) == node_hash(left, right) != root([left + right])


@pytest.mark.parametrize("index", [-1, 2])
def test_a_place_that_is_none_has_no_path(index):
    with pytest.raises(IndexError, match="has none at"):
        path([b"a", b"b"], index)
