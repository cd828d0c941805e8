"""The ledger: nothing is lost, nothing is doubled, and a break in the chain is never overlooked."""

from __future__ import annotations

import multiprocessing

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from lake import ledger as ledger_module
from lake.ledger import Ledger
from lake.storage import Root
from schemas.errors import ConsentError, LakeError
from tests.consents import ended, given, grant

FORK = multiprocessing.get_context("fork")


def events(n: int, prefix: str = "s"):
    return [ended(f"{prefix}{k}", name=f"{prefix}-{k}") for k in range(n)]


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(Root(str(tmp_path / "ledger")))
    made.ensure()
    return made


def read(ledger: Ledger, since: int = 0):
    return [(position, event.event_id) for position, event in ledger.events(since)]


def test_positions_count_events_across_segments(ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "MAX_SEGMENT_EVENTS", 3)
    assert ledger.head() == 0
    assert ledger.append(events(7)) == 7
    assert ledger.append([given(grant())]) == 8
    assert len(list(ledger.root.list("log"))) == 4
    assert read(ledger) == [*((k + 1, f"s-{k}") for k in range(7)), (8, "given-g-anna")]
    assert read(Ledger(ledger.root), since=6) == [(7, "s-6"), (8, "given-g-anna")]


def test_what_is_not_marked_is_never_taken_for_an_empty_ledger(tmp_path):
    with pytest.raises(ConsentError, match="never taken for an empty one"):
        Ledger(Root(str(tmp_path))).head()
    with pytest.raises(ConsentError):
        list(Ledger(Root(str(tmp_path))).events())
    with pytest.raises(ConsentError):
        Ledger(Root(str(tmp_path))).append(events(1))


def _append(uri: str, prefix: str, barrier) -> None:
    ledger = Ledger(Root(uri))
    barrier.wait()
    for event in events(10, prefix):
        ledger.append([event])


def test_writers_at_once_lose_nothing_and_double_nothing(ledger):
    barrier = FORK.Barrier(4)
    writers = [FORK.Process(target=_append, args=(ledger.root.uri, f"w{n}", barrier)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = read(Ledger(ledger.root))
    assert [position for position, _ in found] == list(range(1, 41))
    assert {name for _, name in found} == {f"w{n}-{k}" for n in range(4) for k in range(10)}


def test_a_lost_acknowledgement_does_not_double(ledger, monkeypatch):
    create = ledger.root.create
    lost = []

    def forgetful(path, data):
        create(path, data)
        if not lost:
            lost.append(path)
            create(path, data)  # the retry of a client that never heard the answer: refused

    monkeypatch.setattr(ledger.root, "create", forgetful)
    assert ledger.append(events(2)) == 2
    assert read(Ledger(ledger.root)) == [(1, "s-0"), (2, "s-1")]


def test_an_error_that_is_no_refusal_is_told(ledger, monkeypatch):
    def broken(*_):
        raise LakeError("the store is away")

    monkeypatch.setattr(ledger.root, "create", broken)
    with pytest.raises(LakeError, match="away"):
        ledger.append(events(1))


@settings(max_examples=120, deadline=None)
@law(st.integers(0, 3), st.floats(0, 0.9999), st.integers(1, 255))
def test_no_flipped_byte_is_overlooked(segment, share, change):
    """Not in the last segment either, and the segment that is named is the one that was touched."""
    root = Root(f"memory://flip-{segment}-{share}-{change}")
    ledger = Ledger(root)
    ledger.ensure()
    for n in range(4):
        ledger.append(events(2, f"seg{n}-"))
    path = f"log/{segment:012d}.jsonl"
    data = bytearray(root.read(path))
    at = int(share * len(data))
    data[at] ^= change
    root.delete(path)
    root.create(path, bytes(data))
    with pytest.raises(ConsentError, match=f"broken at log/{segment:012d}"):
        list(Ledger(root).events())
    with pytest.raises(ConsentError, match=f"broken at log/{segment:012d}"):
        Ledger(root).head()
    with pytest.raises(ConsentError, match=f"broken at log/{segment:012d}"):
        list(ledger.events())  # it had verified the segment before it was touched


def test_a_missing_segment_is_named(ledger):
    for n in range(3):
        ledger.append(events(1, f"p{n}-"))
    ledger.root.delete("log/000000000001.jsonl")
    for reader in (Ledger(ledger.root), ledger):
        with pytest.raises(ConsentError, match=r"segment log/000000000001.jsonl .* is missing"):
            list(reader.events())
    with pytest.raises(ConsentError, match="is missing"):
        ledger.append(events(1))


def test_last_segments_that_are_gone_are_noticed_by_who_has_read_them(ledger):
    for n in range(3):
        ledger.append(events(1, f"p{n}-"))
    ledger.root.delete("log/000000000002.jsonl")
    with pytest.raises(ConsentError, match=r"000000000002.jsonl .* is missing"):
        ledger.head()
    fresh = Ledger(ledger.root)
    fresh.expect(2)
    with pytest.raises(ConsentError, match="ends at event 2, but event 3 has been read"):
        fresh.expect(3)


def test_a_ledger_that_goes_away_is_never_taken_for_no_news(ledger, tmp_path):
    ledger.append(events(2))
    (tmp_path / "ledger").rename(tmp_path / "elsewhere")
    for ask in (ledger.head, lambda: list(ledger.events(2)), lambda: ledger.append(events(1))):
        with pytest.raises(ConsentError):
            ask()


def test_an_empty_ledger_that_goes_away_is_noticed_too(ledger, tmp_path):
    assert ledger.head() == 0
    (tmp_path / "ledger").rename(tmp_path / "elsewhere")
    with pytest.raises(ConsentError, match="never taken for an empty one"):
        ledger.head()


@pytest.mark.parametrize("method", ["list", "exists"])
def test_a_store_that_fails_is_a_consent_error(ledger, monkeypatch, method):
    def away(*_):
        raise LakeError("the store is away")

    monkeypatch.setattr(ledger.root, method, away)
    with pytest.raises(ConsentError, match="away"):
        ledger.head()


def test_readers_that_take_turns_do_not_disturb_each_other(ledger):
    for n in range(4):
        ledger.append(events(2, f"p{n}-"))
    fresh = Ledger(ledger.root)
    one, two = fresh.events(), fresh.events()
    seen = [(next(one), next(two)) for _ in range(3)]
    assert fresh.head() == 8
    rest = list(one)
    assert rest == list(two)
    assert [position for (position, _), _ in seen] + [position for position, _ in rest] == list(range(1, 9))


def test_events_come_as_they_are_read_and_not_all_at_once(ledger, monkeypatch):
    for n in range(5):
        ledger.append(events(1, f"p{n}-"))
    fresh, asked = Ledger(ledger.root), []
    plain = fresh.root.read
    monkeypatch.setattr(fresh.root, "read", lambda path, *a: asked.append(path) or plain(path, *a))
    following = fresh.events()
    next(following)
    assert len(asked) == 1


def test_a_header_of_a_later_version_is_not_guessed_at(ledger):
    ledger.append(events(1))
    data = ledger.root.read("log/000000000000.jsonl").replace(b'{"segment":0,', b'{"segment":0,"new":1,')
    ledger.root.delete("log/000000000000.jsonl")
    ledger.root.create("log/000000000000.jsonl", data)
    with pytest.raises(ConsentError, match=r"broken at log/000000000000.jsonl: .*unknown key `new`"):
        Ledger(ledger.root).head()


def test_segments_that_changed_places_are_noticed(ledger):
    for n in range(3):
        ledger.append(events(1, f"p{n}-"))
    one, two = (ledger.root.read(f"log/00000000000{n}.jsonl") for n in (1, 2))
    for n, data in ((1, two), (2, one)):
        ledger.root.delete(f"log/00000000000{n}.jsonl")
        ledger.root.create(f"log/00000000000{n}.jsonl", data)
    with pytest.raises(ConsentError, match="000000000001"):
        list(Ledger(ledger.root).events())


def test_reading_on_costs_only_what_is_new(ledger, monkeypatch):
    for n in range(5):
        ledger.append(events(1, f"p{n}-"))
    fresh = Ledger(ledger.root)
    assert len(read(fresh)) == 5
    ledger.append(events(1, "later-"))
    asked = []
    plain = fresh.root.read
    monkeypatch.setattr(fresh.root, "read", lambda path, *a: asked.append(path) or plain(path, *a))
    assert read(fresh, since=5) == [(6, "later--0")]
    assert asked == ["log/000000000005.jsonl"]
    assert read(fresh, since=6) == []
    assert len(asked) == 1
    assert read(fresh, since=5) == [(6, "later--0")], "what is known is read again when it is asked for"
