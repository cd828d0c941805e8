"""Opening a release: what comes out, who is refused, and what the ledger says of it afterwards."""

from __future__ import annotations

import inspect
import io
import json
import logging
import pickle
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from lake import layout
from pipelines.release.create import Wanted, create
from pipelines.snapshot import take_snapshot
from provoice import open_release
from schemas.errors import ConfigError, ConsentError, LakeError
from schemas.ledger import Event, EventType
from schemas.releases import Demands
from tests.builders import flac
from tests.consents import ended, given, grant, rule
from tests.provoice.loader_lakes import MADE_AT, NAME, USE, Clock, VoicesLake, release_of, voices_lake

WHO = {"owner": "asr-team@example.org", "purpose": "train ASR v3"}


def opened(made: VoicesLake, **options):
    options = {**WHO, "clock": Clock(), **options}
    return open_release(made.uri, NAME, **options)


def keys(samples):
    return [sample["__key__"] for sample in samples]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A lake that no test writes to."""
    return voices_lake(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def made(tmp_path):
    return voices_lake(tmp_path)


def openings(made: VoicesLake) -> list[Event]:
    return [event for _, event in made.lake.ledger().events() if event.type is EventType.OPENED]


# --- what comes out -------------------------------------------------------------------------------------------------


def test_every_utterance_comes_once_as_it_was_stored(shared):
    samples = list(opened(shared, record=False))
    assert keys(samples) == sorted(shared.keys, key=keys(samples).index)
    assert len(samples) == len(shared.keys) == 48
    for sample in samples:
        assert set(sample) == {"__key__", "flac", "json", "txt"}
        assert sample["flac"] == flac()
        assert sample["json"]["key"] == sample["__key__"]
        assert sample["json"]["consent"][0]["subject_id"] in shared.keys_of
        assert sample["txt"] == "hello"


def test_an_utterance_without_a_transcript_has_none(tmp_path):
    made = voices_lake(tmp_path, units=1, text=None)
    assert all("txt" not in sample for sample in opened(made, record=False))


def test_audio_is_decoded_where_that_is_asked_for(shared):
    sample = next(iter(opened(shared, record=False, decode=True)))
    assert set(sample) == {"__key__", "audio", "sample_rate_hz", "json", "txt"}
    expected, rate = soundfile.read(io.BytesIO(flac()), dtype="float32")
    assert sample["sample_rate_hz"] == rate == 16_000
    assert sample["audio"].dtype == np.float32
    np.testing.assert_array_equal(sample["audio"], expected)


@pytest.mark.parametrize("fields", [["audio"], ["json"], ["txt"], ["json", "txt"]])
def test_only_the_fields_that_are_asked_for(shared, fields):
    names = {"audio": "flac"}
    assert set(next(iter(opened(shared, record=False, fields=fields)))) == {
        "__key__", *(names.get(field, field) for field in fields)
    }  # fmt: skip


def test_the_release_is_told_and_the_length_is_known(shared):
    dataset = opened(shared, record=False)
    assert dataset.release == shared.release
    assert (len(dataset), dataset.skipped) == (48, {})


def test_a_lake_that_was_moved_still_opens(made, tmp_path):
    shutil.move(made.uri, tmp_path / "elsewhere")
    samples = open_release(str(tmp_path / "elsewhere"), NAME, clock=Clock(), **WHO)
    assert set(keys(samples)) == made.keys


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_release_as_the_command_makes_it(made, has_snapshot):
    if has_snapshot:
        take_snapshot(made.lake)
    made.lake.ledger().append([ended("p0")])
    _, record = create(made.lake, Wanted("narrators", USE))
    assert record.chosen.utterances == 48 - len(made.keys_of["p0"])
    dataset = open_release(made.uri, "narrators", **WHO)
    assert set(keys(dataset)) == made.keys - made.keys_of["p0"]
    made.lake.ledger().append([ended("p1")])
    with pytest.raises(ConsentError, match="withdrawn"):
        list(dataset)
    assert opened(made, on_denied="skip").skipped == {"withdrawn": len(made.keys_of["p0"] | made.keys_of["p1"])}


def test_a_dataset_survives_pickling(shared):
    dataset = opened(shared, record=False, shuffle=True, buffer=7)
    again = pickle.loads(pickle.dumps(dataset))
    assert keys(again) == keys(dataset)


def test_importing_provoice_costs_no_torch_and_no_arrow():
    code = "import provoice, sys; print([m for m in ('torch', 'pyarrow', 'duckdb', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_loader_imports_neither_torch_nor_pandas(made):
    code = (
        "import sys\nfrom provoice import open_release\n"
        f"ds = open_release({made.uri!r}, {NAME!r}, owner='o', purpose='p', on_denied='skip')\n"
        "n = len(list(ds))\n"
        "print(n, [m for m in ('torch', 'pandas', 'duckdb') if m in sys.modules])"
    )
    made.lake.ledger().append([ended("p1")])
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{48 - len(made.keys_of['p1'])} []"


# --- who is refused -------------------------------------------------------------------------------------------------


def test_a_withdrawal_since_refuses_and_says_what_to_do(made):
    made.lake.ledger().append([ended("p1", "g-p1")])
    with pytest.raises(ConsentError) as refused:
        opened(made)
    said = str(refused.value)
    assert f"{len(made.keys_of['p1'])} of 48 utterances" in said
    assert "withdrawn" in said
    assert "p1 (grant g-p1)" in said
    assert f"provoice release create {made.uri} {NAME}" in said
    assert 'on_denied="skip"' in said
    assert "\n" not in said
    assert openings(made) == []


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([ended("p2")], "withdrawn"),
        ([ended("p2", "g-p2", EventType.REFUSED)], "refused"),
        ([ended("p2", "g-p2", EventType.INVALIDATED)], "invalidated"),
        ([given(grant("p2", "g-no", rules=(rule("prohibit", ("train_asr",)),)))], "prohibited"),
    ],
)
def test_what_was_said_since_leaves_out_exactly_whom_it_is_about(made, events, reason):
    made.lake.ledger().append(events)
    dataset = opened(made, on_denied="skip")
    assert dataset.skipped == {reason: len(made.keys_of["p2"])}
    assert len(dataset) == 48 - len(made.keys_of["p2"])
    assert set(keys(dataset)) == made.keys - made.keys_of["p2"]


def test_a_changed_catalogue_row_denies_what_was_made_with_the_old_one(made):
    changed = Event(
        event_id="c1", type=EventType.CATALOGUE_CHANGED, recorded_at=MADE_AT,
        source_root="raw", source_path="u0/s0.wav", catalogue_row_sha256="f" * 64,
    )  # fmt: skip
    made.lake.ledger().append([changed])
    assert opened(made, on_denied="skip").skipped == {"catalogue_changed": 4}


@pytest.mark.parametrize("how", [EventType.REAFFIRMED, EventType.EXPIRED])
def test_events_for_the_record_change_nothing(made, how):
    made.lake.ledger().append([ended("p2", "g-p2", how)])
    assert len(opened(made)) == 48


def test_everybody_gone_leaves_nothing(made):
    made.lake.ledger().append([ended(person) for person in made.keys_of])
    assert list(opened(made, on_denied="skip")) == []
    with pytest.raises(ConsentError, match=r"48 of 48 .* p0 \(grant g-p0\), p1 .*, p2 .* and 2 more people"):
        opened(made)


def test_a_request_that_is_over_refuses(shared):
    over = Clock(shared.release.use.until)
    with pytest.raises(ConsentError, match="too_late 48"):
        opened(shared, record=False, clock=over)


def test_a_clock_that_is_slow_does_not_bring_back_what_has_ended(tmp_path):
    made = voices_lake(tmp_path, ends={"p0": MADE_AT + timedelta(days=3)})
    made.lake.ledger().append([ended("p4", "other")])  # recorded at NOW = MADE_AT
    late = ended("p4", "another").model_copy(update={"recorded_at": MADE_AT + timedelta(days=3)})
    made.lake.ledger().append([late])
    dataset = opened(made, clock=Clock(MADE_AT - timedelta(days=300)), on_denied="skip")
    assert dataset.skipped == {"expired": len(made.keys_of["p0"])}


def test_a_ledger_that_is_gone_is_never_taken_for_an_empty_one(made):
    shutil.rmtree(Path(made.uri) / "consent")
    with pytest.raises(ConsentError, match="consent ledger"):
        opened(made)


def test_a_ledger_that_ends_before_the_release_refuses(made):
    path = Path(made.uri) / "consent" / layout.segment_path(0)
    made.lake.ledger().append([ended("p0")])
    release_of(made.lake, version=2)
    (path.parent / "000000000001.jsonl").unlink()
    with pytest.raises(ConsentError, match="ends at event 5, but event 6"):
        opened(made)


# --- a wrong request ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"owner": " "}, "owner must say something"),
        ({"purpose": ""}, "purpose must say something"),
        ({"fields": ["audio", "jsn"]}, "did you mean `json`"),
        ({"buffer": 0}, "buffer counts samples"),
        ({"recheck_interval_s": 0}, "recheck_interval_s is seconds"),
        ({"on_denied": "ignore"}, 'on_denied is "refuse" or "skip"'),
        ({"record": "maybe"}, 'record is True, False or "require"'),
        ({"rank": 2, "world_size": 2}, "rank 2 is none of a world of 2"),
        ({"rank": 1}, "told together"),
    ],
)
def test_a_wrong_request_is_one_line(shared, options, said):
    with pytest.raises(ConfigError, match=said):
        opened(shared, **options)


def test_an_unknown_name_or_version_names_those_there_are(shared):
    with pytest.raises(ConfigError, match=NAME):
        open_release(shared.uri, "vioces", **WHO)
    with pytest.raises(ConfigError, match=r"\b1\b"):
        open_release(shared.uri, NAME, 7, **WHO)


def test_no_lake_is_a_wrong_request(tmp_path):
    with pytest.raises(ConfigError, match="is not a lake"):
        open_release(str(tmp_path), NAME, **WHO)


def test_an_older_version_can_be_named(made):
    made.lake.ledger().append([ended("p0")])
    newer = release_of(made.lake, version=2)
    assert opened(made).release == newer
    with pytest.raises(ConsentError, match=f"release {NAME} 1"):
        opened(made, version=1)


# --- what cannot be trusted -----------------------------------------------------------------------------------------


def test_a_changed_index_is_not_read(made):
    path = Path(made.uri) / made.release.index[1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LakeError, match=r"is not the index|cannot be read as Parquet"):
        opened(made)


def test_a_later_end_written_into_the_index_opens_nothing(made):
    """The index is whole Parquet, and says that everything may be used for longer."""
    path = Path(made.uri) / made.release.index[0].path
    table = pq.read_table(path)
    later = pa.array([datetime(2199, 1, 1, tzinfo=UTC)] * len(table), table.schema.field("allowed_until").type)
    place = table.schema.get_field_index("allowed_until")
    pq.write_table(table.set_column(place, table.schema.field(place), later), path)
    with pytest.raises(LakeError, match="is not the index"):
        opened(made)


def test_a_release_whose_words_were_changed_is_not_read(made):
    path = Path(made.uri) / layout.release_path(NAME, 1)
    said = json.loads(path.read_text())
    said["demands"]["max_ledger_age_s"] = 1e9
    path.write_text(json.dumps(said))
    with pytest.raises(LakeError, match="release"):
        opened(made)


# --- the opening is recorded ----------------------------------------------------------------------------------------


def test_an_opening_is_recorded_once_with_owner_and_purpose(made):
    dataset = opened(made)
    list(dataset)
    list(dataset)
    (event,) = openings(made)
    assert (event.owner, event.purpose) == (WHO["owner"], WHO["purpose"])
    assert event.release.model_dump() == {
        "lake": made.uri, "name": NAME, "version": 1, "sha256": made.release.sha256, "ledger_position": 5
    }  # fmt: skip


@pytest.mark.parametrize("options", [{"record": False}, {"rank": 1, "world_size": 2}])
def test_other_ranks_record_nothing_and_nobody_who_does_not_want_to(made, options):
    opened(made, **options)
    assert openings(made) == []


def _cannot_write(monkeypatch):
    def refused(*_):
        raise LakeError("the ledger: read-only")

    monkeypatch.setattr("lake.ledger.Ledger.append", refused)


def test_an_opening_that_cannot_be_recorded_is_a_warning(shared, monkeypatch, caplog):
    _cannot_write(monkeypatch)
    with caplog.at_level(logging.WARNING, "provoice.loader"):
        assert len(opened(shared)) == 48
    assert "could not be recorded" in caplog.text
    assert "read-only" in caplog.text


def test_an_opening_that_must_be_recorded_and_cannot_be_is_refused(shared, tmp_path, monkeypatch):
    strict = voices_lake(tmp_path, units=1, demands=Demands(record_openings=True))
    with pytest.raises(ConsentError, match="demands that openings are recorded"):
        opened(strict, record=False)
    _cannot_write(monkeypatch)
    with pytest.raises(ConsentError, match=r"cannot be recorded: .*read-only"):
        opened(shared, record="require")
    with pytest.raises(ConsentError, match="cannot be recorded"):
        opened(strict)


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_example_on_the_page_runs(made, capsys):
    page = (Path(__file__).resolve().parents[2] / "docs" / "loader.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    exec(example.replace('"narrators"', f'"{NAME}"'), {"LAKE": made.uri})
    assert capsys.readouterr().out == "48 utterances, train_asr\n"
    assert [event.purpose for event in openings(made)] == ["train ASR v3"]


def test_every_option_is_on_the_page():
    page = (Path(__file__).resolve().parents[2] / "docs" / "loader.md").read_text(encoding="utf-8")
    for option in inspect.signature(open_release).parameters:
        assert f"`{option}`" in page or f"`{option}=`" in page or option in ("lake_uri", "name")
