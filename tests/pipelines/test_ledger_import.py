"""Many events into the ledger: all checked before the first is written, each once, and contradictions told by line."""

from __future__ import annotations

import json
import random

import pytest

from lake import ledger as ledger_module
from lake.ledger import Ledger
from lake.storage import Root
from pipelines import grants, import_staging, ledger_import
from pipelines.grants import read_events
from pipelines.ledger_import import import_events
from pipelines.vocabulary import shipped
from schemas.errors import ConfigError, LakeError
from schemas.ledger import EventType
from tests.consents import NOW, VOCABULARY
from tests.pipelines.test_grants import HEAD, line, plain


def withdrawn(subject="anna", grant_id="g1", **fields):
    return {"type": "withdrawn", "subject_id": subject, "grant_id": grant_id, **fields}


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(Root(str(tmp_path / "ledger")))
    made.ensure()
    return made


@pytest.fixture
def bring(tmp_path, ledger):
    """Imports files of these lines, one list for each."""

    def run(*files, dry_run=False, name="{}.jsonl"):
        paths = []
        for n, lines in enumerate(files):
            paths.append(tmp_path / name.format(n))
            text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
            paths[-1].write_text(text + "\n")
        return import_events(paths, lambda: Ledger(ledger.root), NOW, dry_run=dry_run)

    return run


def said(ledger):
    """What the ledger holds, without its vocabulary: type and grant of each."""
    return [(e.type.value, e.grant_id) for _, e in ledger.events() if e.type is not EventType.VOCABULARY]


def refused(bring, *files, **options):
    with pytest.raises(ConfigError) as told:
        bring(*files, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


# --- what is appended -------------------------------------------------------------------------------------------------


def test_the_first_import_brings_the_vocabulary_before_everything(bring, ledger):
    done = bring([plain(), withdrawn()])
    assert (done.events, done.people, done.vocabulary, done.position) == (2, 1, shipped().version, 3)
    assert done.by_type == {EventType.GIVEN: 1, EventType.WITHDRAWN: 1}
    assert [event.type for _, event in ledger.events()] == ["vocabulary", "given", "withdrawn"]
    assert bring([plain(grant_id="g2")]).vocabulary is None


def test_who_brings_a_vocabulary_of_their_own_gets_no_other(bring, ledger):
    spoken = {
        "type": "vocabulary",
        "recorded_at": "2026-05-04T09:30:00Z",
        "vocabulary": VOCABULARY.model_dump(mode="json"),
    }
    assert bring([plain(), spoken]).vocabulary is None
    assert [event.vocabulary for _, event in ledger.events()] == [None, VOCABULARY]


def test_the_same_again_and_what_is_said_twice_is_known(bring, ledger):
    first = bring([plain(), plain(grant_id="g2"), plain()], [plain(grant_id="g2"), withdrawn()])
    assert (first.events, first.known) == (3, 2)
    again = bring([plain(), plain(grant_id="g2"), plain()], [plain(grant_id="g2"), withdrawn()])
    assert (again.events, again.known, again.vocabulary) == (0, 5, None)
    assert said(ledger) == [("given", "g1"), ("given", "g2"), ("withdrawn", "g1")]


def test_a_dry_run_counts_the_same_and_writes_nothing(bring, ledger, tmp_path):
    before = sorted(info.path for info in ledger.root.list())
    counted = bring([plain(), withdrawn()], dry_run=True)
    assert sorted(info.path for info in ledger.root.list()) == before
    done = bring([plain(), withdrawn()])
    assert (counted.events, counted.known, counted.by_type, counted.vocabulary) == (
        done.events, done.known, done.by_type, done.vocabulary,
    )  # fmt: skip
    assert import_events([tmp_path / "0.jsonl"], None, NOW, dry_run=True).events == 2, "also where there is no ledger"


def test_segments_are_of_the_ledgers_size_and_an_interrupted_import_goes_on(bring, ledger, monkeypatch):
    monkeypatch.setattr(ledger_import, "MAX_SEGMENT_EVENTS", 10)
    monkeypatch.setattr(grants, "_CHUNK_ROWS", 7)
    lines = [plain(grant_id=f"g{n}") for n in range(45)]
    create, made = Root.create, []

    def dies(root, path, data):
        if path.startswith("log/"):
            if len(made) == 3:
                raise LakeError("the power is gone")
            made.append(path)
        create(root, path, data)

    monkeypatch.setattr(Root, "create", dies)
    with pytest.raises(LakeError):
        bring(lines)
    monkeypatch.setattr(Root, "create", create)
    assert len(said(ledger)) == 29
    done = bring(lines)
    assert (done.events, done.known) == (16, 29)
    assert said(ledger) == [("given", f"g{n}") for n in range(45)]


# --- what is refused, and with it everything --------------------------------------------------------------------------

OTHER = plain(valid_until="2028-01-01")


@pytest.mark.parametrize(
    ("there", "files", "told"),
    [
        ([], [[plain(), "{"]], "0.jsonl, line 2: not JSON"),
        ([], [[plain(grant_id="g9")], [plain(), plain(rules=[])]], "1.jsonl, line 2: `grant.rules`"),
        ([], [[plain()], [withdrawn(), "", OTHER]], "1.jsonl, line 3: grant g1 stands at "),
        ([plain()], [[plain(grant_id="g2"), OTHER]], "0.jsonl, line 2: grant g1 is in the ledger with other words"),
        ([plain()], [[plain(subject_id="ben")]], "line 1: grant g1 is in the ledger with other words"),
        ([], [[withdrawn(), plain()]], "line 1: event "),
        ([], [[withdrawn(), plain()]], "(`withdrawn`) speaks about grant g1, which is not in the ledger"),
        ([], [[plain(), withdrawn("ben")]], "line 2: event "),
        ([], [[plain(), withdrawn("ben")]], "which is not ben's but anna's"),
        ([plain()], [[withdrawn("ben")]], "line 1: event "),
        ([plain()], [[withdrawn("ben")]], "which is not ben's but anna's"),
        ([plain()], [[withdrawn("ben", "g7")]], "speaks about grant g7, which is not in the ledger"),
        ([plain()], [[withdrawn("zoe"), plain(subject_id="ada", valid_until="2029-01-01")]], "line 1: event "),
    ],
)
@pytest.mark.parametrize("is_projected", [False, True])
def test_a_contradiction_is_told_by_its_line_and_nothing_is_written(there, files, told, is_projected, bring, ledger,
                                                                    monkeypatch):  # fmt: skip
    if there:
        bring(there)
    if is_projected:
        monkeypatch.setattr(ledger_module, "_LOOK_BEYOND_BYTES", 0)
        ledger.project(0)
    before = said(ledger)
    assert told in refused(bring, *files)
    assert said(ledger) == before


def test_the_same_grant_under_another_id_is_no_contradiction(bring, ledger):
    given = {"type": "given", "grant": plain(), "event_id": "letter-17"}
    assert bring([plain(), given]).events == 2
    assert bring([{**given, "event_id": "letter-18", "note": "once more"}]).events == 1
    assert bring([{**withdrawn(), "event_id": "w"}, {**withdrawn("zoe", None), "event_id": "z"}]).events == 2
    assert len(said(ledger)) == 5


def test_of_several_contradictions_the_first_is_told(bring):
    lines = [plain(), plain(grant_id="g2", subject_id="ben"), withdrawn("ben"), OTHER, withdrawn("anna", "g7")]
    assert "line 3: event " in refused(bring, lines)
    assert "line 4: grant" in refused(bring, [*lines[:2], plain(grant_id="g3"), *lines[3:]])


# --- however it is cut and whoever checks it --------------------------------------------------------------------------


def test_processes_find_what_one_finds(bring, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(import_staging, "_ALONE_BYTES", 0)
    monkeypatch.setattr(grants, "_CHUNK_ROWS", 10)
    lines = [plain(grant_id=f"g{n}", subject_id=f"s{n % 7}") for n in range(60)]
    lines += [withdrawn(f"s{n % 7}", f"g{n}") for n in range(60)]
    assert "line 121: not JSON" in refused(bring, [*lines, "{"])
    assert bring(lines).events == 120
    found = [event for _, event in ledger.events()][1:]
    assert found == list(read_events(tmp_path / "0.jsonl", NOW))


def test_large_files_of_csv_are_put_together_as_small_ones(bring, ledger, tmp_path, monkeypatch):
    rows = [line(f"g{n}", f"s{n}", action=action) for n in range(40) for action in ("retain", "annotate")]
    random.Random(3).shuffle(rows)
    (tmp_path / "g.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    small = list(read_events(tmp_path / "g.csv", NOW))
    monkeypatch.setattr(grants, "_SMALL_BYTES", 0)
    assert list(read_events(tmp_path / "g.csv", NOW)) == small
    (tmp_path / "g.csv").write_text("\n".join([HEAD, *sorted(rows)]) + "\n")
    assert len(list(read_events(tmp_path / "g.csv", NOW))) == 40
    bring([HEAD, *rows], name="{}.csv")
    assert len(said(ledger)) == 40


def test_events_about_releases_come_in_as_lines_too(bring, ledger):
    release = {"lake": "l", "name": "r", "version": 1, "sha256": "0", "ledger_position": 1}
    opened = {"type": "opened", "recorded_at": "2026-05-04T09:30:00Z", "owner": "tts", "release": release}
    assert bring([opened, {**opened, "type": "used", "model": "voice-1"}]).by_type == {
        EventType.OPENED: 1, EventType.USED: 1,
    }  # fmt: skip
    assert said(ledger) == [("opened", None), ("used", None)]
