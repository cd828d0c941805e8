"""The projection: it says what the log says, costs only what is new, and is never believed against the log."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from lake import layout, projection_build
from lake import ledger as ledger_module
from lake.ledger import Ledger
from lake.parquet_sql import open_duckdb
from lake.projection_files import _GROUP_ROWS
from lake.projection_rows import events_of, table_of, typed
from lake.storage import Root
from schemas.consent import TERMS, DataScope, Grant
from schemas.consent_tables import EVENTS_SCHEMA
from schemas.errors import ConsentError, LakeError
from schemas.ledger import ABOUT_MODELS, ABOUT_RELEASES, ENDS_GRANT, Event, EventType, ReleaseRef
from tests.consents import NOW, VOCABULARY, ended, given, grant, rule, spoken
from transforms.consent import fold

FRESH = itertools.count()
FORK = multiprocessing.get_context("fork")
SUBJECTS = ("anna", "ben", "cleo", "dörte", "\U0001f3a4")
SOURCES = (("raw", "a.wav"), ("raw", "b.wav"), ("other", "a.wav"))

# --- events of every kind ---------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (as it wants them)
term_lists = st.lists(words, min_size=1, max_size=3).map(tuple)
rules = st.builds(
    lambda effect, actions, until, terms: rule(effect, actions, durable_until=until, **terms),
    st.sampled_from(["permit", "prohibit"]),
    st.lists(st.sampled_from(["any", "retain", "clone"]), min_size=1, max_size=2),
    st.none() | instants,
    st.fixed_dictionaries(dict.fromkeys(TERMS, term_lists)),
)
scopes = st.one_of(
    st.just(DataScope(kind="all")),
    st.lists(st.fixed_dictionaries({"root": words, "path": words}), min_size=1, max_size=2).map(
        lambda places: DataScope(kind="recordings", recordings=tuple(places))
    ),
    st.tuples(instants, instants).map(
        lambda ends: DataScope(kind="collected", collected_from=ends[0], collected_until=ends[1])
    ),
)


@st.composite
def grants(draw, subjects=words, names=words):
    begins = draw(instants)
    return Grant(
        grant_id=draw(names), subject_id=draw(subjects), evidence_sha256=draw(st.sampled_from("0f")) * 64,
        jurisdiction=draw(st.sampled_from(["EU", "DE-BY"])), scope=draw(scopes), valid_from=begins,
        valid_until=begins + timedelta(microseconds=draw(st.integers(1, 10**15))),
        rules=tuple(draw(st.lists(rules, min_size=1, max_size=3))),
    )  # fmt: skip


@st.composite
def any_event(draw):
    kind = draw(st.sampled_from(list(EventType)))
    fields = {"event_id": draw(words), "type": kind, "recorded_at": draw(instants), "note": draw(st.none() | words)}
    if kind is EventType.GIVEN:
        one = draw(grants())
        return Event(**fields, subject_id=one.subject_id, grant_id=one.grant_id, grant=one)
    for name in ("source_root", "source_path"):
        fields[name] = draw(words if kind is EventType.CATALOGUE_CHANGED else st.none() | words)
    if kind is EventType.VOCABULARY:
        fields["vocabulary"] = VOCABULARY
    if kind in ABOUT_RELEASES:
        fields["release"] = ReleaseRef(lake="l", name=draw(words), version=3, sha256="ab", ledger_position=2)
    if kind in ABOUT_RELEASES | ABOUT_MODELS:
        fields |= {"owner": draw(words), "model": draw(words)}
    if kind in (EventType.ACKNOWLEDGED, EventType.EXEMPTED):
        fields["note"] = draw(words)
    is_free = kind in {EventType.CATALOGUE_CHANGED, EventType.VOCABULARY} | ABOUT_RELEASES | ABOUT_MODELS
    fields["subject_id"] = draw(st.none() | words if is_free else words)
    fields["grant_id"] = draw(st.none() | words)
    return Event(**fields)


def line_of(event: Event) -> bytes:
    return event.model_dump_json(exclude_none=True).encode()


def read_plain(line: bytes, position: int) -> Event:  # noqa: ARG001
    return Event.model_validate_json(line)


@pytest.fixture(scope="module")
def sql():
    with open_duckdb(Root("memory://sql")) as connection:
        yield connection


# --- lines and rows ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@law(st.lists(any_event(), min_size=1, max_size=8))
def test_lines_become_the_rows_that_the_model_makes_of_them(sql, events):
    lines = [line_of(event) for event in events]
    table = typed(sql, 5, lines, read_plain)
    assert table.schema.equals(EVENTS_SCHEMA)
    assert table.to_pylist() == table_of(enumerate(events, 5)).to_pylist()
    assert list(events_of(table)) == list(enumerate(events, 5))


def test_what_is_written_often_is_read_without_the_model(sql):
    plain = [given(grant("anna", rules=[rule(), rule("prohibit", ["clone"], durable_until=NOW)])), ended("anna"),
             Event(event_id="c", type="catalogue_changed", recorded_at=NOW, source_root="r", source_path="p"),
             given(grant("ben", scope=DataScope(kind="recordings", recordings=({"root": "r", "path": "p"},)))),
             given(grant("cleo", scope=DataScope(kind="collected", collected_from=NOW, collected_until=NOW))),
    ]  # fmt: skip

    def never(line: bytes, position: int) -> Event:  # noqa: ARG001
        raise AssertionError(line)

    found = typed(sql, 1, [line_of(event) for event in plain], never)
    assert list(events_of(found)) == list(enumerate(plain, 1))


def _other_spellings() -> list[bytes]:
    """Lines that say something else than a hasty reader might think, or nothing at all."""
    said = json.loads(line_of(given(grant("anna"))))
    lost = json.loads(line_of(ended("anna", "g")))
    changed = [
        {**said, "narrower": "only at night"}, {**said, "grant": {**said["grant"], "narrower": []}},
        {**said, "grant": {**said["grant"], "valid_from": "2026-01-01"}},
        {**said, "grant": {**said["grant"], "valid_from": "2026-01-01T00:00:00+05:00"}},
        {**said, "grant": {**said["grant"], "valid_until": "2025-01-01T00:00:00Z"}},
        {**said, "grant": {**said["grant"], "rules": []}}, {**said, "grant": {**said["grant"], "grant_id": "other"}},
        {**said, "grant": {**said["grant"], "scope": {"kind": "collected", "recordings": []}}},
        {**said, "grant": {**said["grant"], "scope": {"kind": "some", "recordings": []}}},
        {**said, "grant": {**said["grant"], "scope": {"kind": "recordings", "recordings": []}}},
        {**said, "grant": {**said["grant"], "evidence_sha256": "by phone"}}, {**said, "grant": None},
        {**said, "grant": {**said["grant"], "rules": [{**said["grant"]["rules"][0], "medium": []}]}},
        {**said, "grant": {**said["grant"], "rules": [{**said["grant"]["rules"][0], "action": ["sing"]}]}},
        {**said, "grant": {**said["grant"], "rules": [{**said["grant"]["rules"][0], "effect": "allow"}]}},
        {**said, "grant": {**said["grant"], "rules": [{**said["grant"]["rules"][0], "genre": [None]}]}},
        {**said, "event_id": 5}, {**said, "event_id": ""}, {**said, "note": ["x"]}, {**said, "note": {}},
        {**said, "note": {"a": 1}}, {**said, "note": True}, {**said, "recorded_at": "2026-06-01"},
        {**said, "recorded_at": 1_780_000_000}, {**said, "recorded_at": "2026-06-01T24:00:00Z"},
        {**lost, "type": "withdrawm"}, {**lost, "subject_id": None}, {**lost, "grant": {}}, {**lost, "note": None},
        {**lost, "note": '":"['}, {**lost, "note": "{[\"'"}, {"type": "withdrawn"}, [], 7, {},
    ]  # fmt: skip
    spelt = [json.dumps(one, separators=separators).encode() for one in changed for separators in ((",", ":"), None)]
    line = line_of(ended("anna", "g"))
    return [*spelt, line.replace(b'"withdrawn"', b'"withdrawn","type":"expired"', 1), line[:-1], b"\xff" + line, b""]


@pytest.mark.parametrize("line", _other_spellings())
def test_whatever_is_not_plainly_an_event_is_read_by_the_model(sql, line):
    before, after = line_of(ended("x")), line_of(ended("y"))
    try:
        expected = Event.model_validate_json(line)
    except ValueError:
        with pytest.raises(ValueError, match="validation error"):
            typed(sql, 1, [before, line, after], read_plain)
    else:
        found = list(events_of(typed(sql, 1, [before, line, after], read_plain)))
        assert found == [(1, ended("x")), (2, expected), (3, ended("y"))]


# --- what it answers --------------------------------------------------------------------------------------------------


def _small(patch):
    patch.setattr(ledger_module, "_LOOK_BEYOND_BYTES", 0)
    patch.setattr(ledger_module, "PROJECT_BEYOND", 0)
    patch.setattr(projection_build, "_CHUNK_EVENTS", 3)
    for order in ("position", "subject", "name"):
        patch.setitem(_GROUP_ROWS, order, 2)


@pytest.fixture
def small(monkeypatch):
    """Projections of ledgers that hold a few events, in small pieces."""
    _small(monkeypatch)


@pytest.fixture
def ledger(tmp_path, small):  # noqa: ARG001
    made = Ledger(Root(str(tmp_path / "ledger")))
    made.ensure()
    return made


def quiet(ledger: Ledger, events) -> None:
    """Appends without building on."""
    ledger.append_lines([line_of(event) for event in events])


ids = st.integers(0, 25).map(str)
short_events = st.one_of(
    st.builds(
        lambda name, subject, number: given(grant(subject, f"g{number}")).model_copy(update={"event_id": name}),
        ids, st.sampled_from(SUBJECTS), st.integers(0, 5),
    ),
    st.builds(
        lambda name, subject, number, how: ended(subject, None if number is None else f"g{number}", how, name),
        ids, st.sampled_from(SUBJECTS), st.none() | st.integers(0, 5),
        st.sampled_from([*sorted(ENDS_GRANT), EventType.REAFFIRMED]),
    ),
    st.builds(
        lambda name, kind, source, digest, subject: Event(
            event_id=name, type=kind, recorded_at=NOW, source_root=source[0], source_path=source[1],
            catalogue_row_sha256=digest, subject_id=subject,
        ),
        ids, st.sampled_from([EventType.CATALOGUE_CHANGED, EventType.REAFFIRMED, EventType.WITHDRAWN]),
        st.sampled_from(SOURCES), st.sampled_from(["one", "two", None]), st.sampled_from(SUBJECTS),
    ),
    st.builds(lambda name, version: spoken(VOCABULARY.model_copy(update={"version": version}))
              .model_copy(update={"event_id": name}), ids, st.sampled_from("12")),
)  # fmt: skip


def restricted(state, subjects, sources):
    """What a fold knows of some."""
    theirs = {name: held for name, held in state.grants.items() if held.grant.subject_id in subjects}
    return (
        theirs,
        {who: names for who, names in state.grants_of.items() if who in subjects},
        {who: how for who, how in state.ended_subjects.items() if who in subjects},
        {place: digest for place, digest in state.catalogue_rows.items() if place in sources},
        state.vocabulary,
    )


@settings(max_examples=20, deadline=None)
@law(
    st.lists(short_events, max_size=24), st.lists(st.integers(0, 24), max_size=3), st.integers(0, 24),
    st.sets(st.sampled_from(SUBJECTS)), st.sets(st.sampled_from(SOURCES)),
)  # fmt: skip
def test_what_is_asked_about_a_few_folds_as_everything_does(events, builds, since, subjects, sources):
    """Wherever the ledger is cut between runs of the projection and what lies beyond, and also without one."""
    root = Root(f"memory://fold-{next(FRESH)}")
    with pytest.MonkeyPatch.context() as patch:
        _small(patch)
        ledger = Ledger(root)
        ledger.ensure()
        cuts = sorted({cut for cut in builds if cut <= len(events)})
        for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
            quiet(ledger, events[begin:end])
            if end in cuts:
                ledger.project(0)
        whole = fold(enumerate(events, 1))
        for reader in (ledger, Ledger(root)):
            found = list(reader.events_about(subjects, sources))
            assert restricted(fold(found), subjects, sources) == restricted(whole, subjects, sources)
            assert found == sorted(found, key=lambda one: one[0])
            assert list(reader.events_about(subjects, sources, since)) == [one for one in found if one[0] > since]
            table = reader.events_table()
            state = fold(events_of(table))
            assert restricted(state, SUBJECTS, SOURCES) == restricted(whole, SUBJECTS, SOURCES)
            assert len(set(table["event_id"].to_pylist())) == len(table)
            some = reader.events_table(list(subjects))
            assert restricted(fold(events_of(some)), subjects, SOURCES) == restricted(whole, subjects, SOURCES)
            assert set(some["position"].to_pylist()) <= set(table["position"].to_pylist())
            assert [n for n, _ in reader.events()] == list(range(1, len(events) + 1))


def test_of_a_small_ledger_nothing_is_built_and_none_is_looked_for(tmp_path, monkeypatch):
    ledger = Ledger(Root(str(tmp_path)))
    ledger.ensure()
    for name in ("anna", "ben"):
        ledger.append([given(grant(name))])
    assert not list(ledger.root.list("projection"))
    listed = []
    monkeypatch.setattr(Root, "list", _told(listed, Root.list))
    assert Ledger(ledger.root).head() == 2
    assert listed == ["log"]


def _told(listed, plain):
    def told(root, prefix=""):
        listed.append(prefix)
        return plain(root, prefix)

    return told


def test_whoever_appends_much_builds_on(ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "PROJECT_BEYOND", 4)
    ledger.append([ended(f"s{n}") for n in range(4)])
    assert not ledger.is_projected
    ledger.append([ended("s4")])
    assert ledger.is_projected
    ledger.append([ended(f"s{n}") for n in range(5, 9)])
    assert heads(ledger) == ["projection/00000001.json"]
    ledger.append([ended("s9")])
    assert heads(ledger)[-1] == "projection/00000002.json"


def heads(ledger):
    return sorted(info.path for info in ledger.root.list("projection") if info.path.endswith(".json"))


def built(ledger, *counts):
    """The ledger with so many events in each run of its projection."""
    for count in counts:
        start = ledger.head()
        quiet(ledger, [given(grant(f"s{start + n}", f"g{start + n}")) for n in range(count)])
        ledger.project(0)
    return ledger


def test_a_new_process_reads_only_what_is_beyond(ledger, monkeypatch):
    built(ledger, 5)
    quiet(ledger, [ended("s1")])
    asked = []
    plain = Root.read
    monkeypatch.setattr(Root, "read", lambda root, path, *a: asked.append((path, *a)) or plain(root, path, *a))
    fresh = Ledger(ledger.root)
    assert fresh.head() == 6
    whole = [path for path, *part in asked if not part]
    assert whole == ["projection/00000001.json", "log/000000000001.jsonl"]
    assert [n for n, _ in fresh.events_about(["s1"], ())] == [2, 6]
    assert [n for n, _ in fresh.events()] == [1, 2, 3, 4, 5, 6], "and whoever wants the whole reads the whole"


def test_building_on_costs_what_is_new_and_keeps_few_runs(ledger):
    built(ledger, 40)
    before = set(ledger._projection.head.files)
    built(ledger, 4)
    assert before < set(ledger._projection.head.files), "what was there stays as it is"
    for _ in range(30):
        built(ledger, 4)
    head = ledger._projection.head
    assert len({(file.first, file.last) for file in head.files}) <= 4
    assert sum(file.rows for file in head.of("subject")) == head.position == 164
    ranges = sorted({(file.first, file.last) for file in head.files})
    assert [first for first, _ in ranges] == [1, *(last + 1 for _, last in ranges[:-1])]


def test_the_same_ledger_has_the_same_projection_to_the_byte(ledger, tmp_path):
    built(ledger, 7, 2)
    other = Ledger(Root(str(tmp_path / "other")))
    other.ensure()
    for path in sorted(info.path for info in ledger.root.list("log")):
        other.root.create(path, ledger.root.read(path))
    for info in list(ledger.root.list("projection")):
        ledger.root.delete(info.path)
    for each in (ledger, other):
        Ledger(each.root).project(0)
    stored = [
        {info.path: each.root.read(info.path) for info in each.root.list("projection")} for each in (ledger, other)
    ]
    assert stored[0] == stored[1]


def damaged(ledger, path: str, how: str) -> None:
    data = ledger.root.read(path)
    ledger.root.delete(path)
    if how == "truncated":
        ledger.root.create(path, data[: len(data) // 2])
    elif how == "changed":
        # Here and there, for some bits of a page's header mean nothing, and not every page is read.
        changed = bytearray(data)
        changed[40:-400:5] = bytes(byte ^ 1 for byte in changed[40:-400:5])
        ledger.root.create(path, bytes(changed) if len(data) > 600 else data[:40] + b"x" + data[41:])


@pytest.mark.parametrize("how", ["truncated", "changed", "missing"])
@pytest.mark.parametrize("order", ["position", "subject", "name", "segment", "head"])
def test_a_projection_that_is_not_whole_is_never_believed(ledger, order, how):
    built(ledger, 6)
    quiet(ledger, [given(grant("s2", "g9"))])
    if order == "head" and how == "missing":
        pytest.skip("without a head there is no projection")
    named = "projection/00000001.json" if order == "head" else ledger._projection.head.of(order)[0].path
    damaged(ledger, named, how)

    def everything():
        fresh = Ledger(ledger.root)
        return list(fresh.events_about(["s2"], ())), fresh.events_table().to_pylist()

    with pytest.raises(ConsentError, match=r"projection .*delete the folder `projection`"):
        everything()
    for info in list(ledger.root.list("projection")):
        ledger.root.delete(info.path)
    about, table = everything()
    assert ([n for n, _ in about], len(table)) == ([3, 7], 7)


def test_segments_that_a_projection_covers_are_missed(ledger):
    built(ledger, 3, 2)
    ledger.root.delete("log/000000000001.jsonl")
    with pytest.raises(
        ConsentError, match=r"segment log/000000000001.jsonl .* missing.*delete the folder `projection`"
    ):
        Ledger(ledger.root).head()


def test_a_segment_that_was_changed_beneath_its_projection_is_noticed(ledger):
    built(ledger, 3, 2)
    path = "log/000000000000.jsonl"
    data = ledger.root.read(path)
    ledger.root.delete(path)
    ledger.root.create(path, data.replace(b"s1", b"xx"))
    with pytest.raises(ConsentError, match=r"broken at log/000000000000.jsonl: it has changed"):
        list(Ledger(ledger.root).events())
    ledger.root.delete(path)
    ledger.root.create(path, data + b" ")
    with pytest.raises(ConsentError, match=r"broken at log/000000000000.jsonl: .*delete the folder `projection`"):
        Ledger(ledger.root).head()


def test_another_ledgers_projection_is_refused(ledger, tmp_path):
    built(ledger, 4)
    other = Ledger(Root(str(tmp_path / "other")))
    other.ensure()
    quiet(other, [given(grant(f"t{n}", f"g{n}")) for n in range(4)])
    for info in list(ledger.root.list("projection")):
        other.root.create(info.path, ledger.root.read(info.path))
    with pytest.raises(ConsentError, match="delete the folder `projection`"):
        Ledger(other.root).head()


def _build(uri: str, barrier) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _small(patch)
        ledger = Ledger(Root(uri))
        ledger.head()
        barrier.wait()
        ledger.project(0)
        found = [n for n, _ in ledger.events_about(["s3"], ())]
        raise SystemExit(found != [4])


def test_of_two_who_build_at_once_one_wins_and_both_go_on(ledger):
    quiet(ledger, [given(grant(f"s{n}", f"g{n}")) for n in range(30)])
    barrier = FORK.Barrier(2)
    builders = [FORK.Process(target=_build, args=(ledger.root.uri, barrier)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert heads(ledger) == ["projection/00000001.json"]


def test_who_is_beaten_with_other_events_takes_the_winners(ledger, monkeypatch):
    quiet(ledger, [given(grant(f"s{n}", f"g{n}")) for n in range(6)])
    create = ledger.root.create

    def beaten(path, data):
        if path == layout.projection_head_path(1):
            monkeypatch.setattr(ledger.root, "create", create)
            rival = Ledger(Root(ledger.root.uri))
            quiet(rival, [ended("s0")])
            rival.project(0)
        create(path, data)

    monkeypatch.setattr(ledger.root, "create", beaten)
    ledger.project(0)
    assert heads(ledger) == ["projection/00000001.json"]
    assert [n for n, _ in ledger.events_about(["s0"], ())] == [1, 7]


def test_a_builder_that_dies_before_the_head_leaves_nothing_that_counts(ledger, monkeypatch):
    quiet(ledger, [given(grant(f"s{n}", f"g{n}")) for n in range(6)])
    create = ledger.root.create

    def dies(path, data):
        if path.startswith("projection/0"):
            raise LakeError("gone")
        create(path, data)

    monkeypatch.setattr(ledger.root, "create", dies)
    with pytest.raises(LakeError):
        ledger.project(0)
    assert (heads(ledger), bool(list(ledger.root.list("projection")))) == ([], True)
    monkeypatch.setattr(ledger.root, "create", create)
    assert [n for n, _ in Ledger(ledger.root).events_about(["s3"], ())] == [4]
    built(Ledger(ledger.root), 0)
    assert heads(ledger) == ["projection/00000001.json"]


def test_an_append_stands_also_where_the_projection_cannot_be_built(ledger, monkeypatch, caplog):
    def broken(*_):
        raise LakeError("no room")

    monkeypatch.setattr(projection_build, "build_on", broken)
    assert ledger.append([ended("anna")]) == 1
    assert "no room" in caplog.text
