"""The suppression list: it knows what was erased, and does not say it."""

from __future__ import annotations

import json

import pytest

from lake import suppression
from lake.storage import Root
from lake.suppression import Key, Suppression, key_from_environment
from schemas.errors import ConfigError, ConsentError

SECRET = "sixteen bytes or more"
SHA256 = "ab" * 32


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", SECRET)
    return Root(str(tmp_path / "ledger"))


def listed(ledger):
    found = Suppression(ledger)
    found.refresh()
    return found


def test_places_and_bytes_are_known_again_and_nothing_else(ledger):
    suppression.add(ledger, "1", Key(SECRET.encode()), [("raw", "a/b.wav"), ("raw", "\udce9.wav")], [SHA256])
    found = listed(ledger)
    assert found
    assert found.has_path("raw", "a/b.wav")
    assert found.has_path("raw", "\udce9.wav")
    assert found.has_content(SHA256)
    for root, path in (("raw", "a/c.wav"), ("other", "a/b.wav"), ("rawa", "/b.wav")):
        assert not found.has_path(root, path)
    assert not found.has_content("cd" * 32)
    assert not found.has_content(None)


def test_it_does_not_say_what_is_on_it(ledger):
    suppression.add(ledger, "1", Key(SECRET.encode()), [("raw", "secret/name.wav")], [SHA256])
    text = ledger.read("suppression/1.json").decode()
    assert "name" not in text
    assert SHA256 not in text
    assert set(json.loads(text)) == {"format_version", "key_check", "paths", "contents"}


def test_an_empty_list_needs_no_key(tmp_path, monkeypatch):
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY", raising=False)
    found = Suppression(Root(str(tmp_path)))
    assert not found.refresh()
    assert not found
    assert not found.has_path("raw", "a")
    suppression.add(Root(str(tmp_path)), "1", Key(SECRET.encode()), [], [])
    assert not found.refresh()


def test_what_is_added_is_read_on_and_not_again(ledger):
    found = listed(ledger)
    key = Key(SECRET.encode())
    suppression.add(ledger, "1", key, [("raw", "a")], [])
    assert found.refresh()
    assert not found.refresh()
    suppression.add(ledger, "1", key, [("raw", "a")], [])
    suppression.add(ledger, "2", key, [("raw", "b")], [])
    assert found.refresh()
    assert found.has_path("raw", "a")
    assert found.has_path("raw", "b")


@pytest.mark.parametrize(("said", "words"), [(None, "its key is missing"), ("another key altogether", "another key")])
def test_entries_without_their_key_stop_everything(ledger, monkeypatch, said, words):
    suppression.add(ledger, "1", Key(SECRET.encode()), [("raw", "a")], [])
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    if said is not None:
        monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", said)
    with pytest.raises(ConsentError, match=words):
        listed(ledger)


def test_a_file_that_is_none_stops_everything(ledger):
    ledger.create("suppression/1.json", b"words")
    with pytest.raises(ConsentError, match="cannot be read"):
        listed(ledger)


def test_a_key_is_long_enough_and_may_lie_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", "short")
    with pytest.raises(ConfigError, match="has 5 bytes; 16 are the least"):
        key_from_environment()
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    assert key_from_environment() is None
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY_URI", str(tmp_path / "secret"))
    with pytest.raises(ConfigError, match="does not exist"):
        key_from_environment()
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert key_from_environment().check == Key(SECRET.encode()).check
