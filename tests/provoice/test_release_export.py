"""`release export` and `release use`: what the loader would refuse is in no export, whenever it was taken back."""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime, timedelta
from glob import glob

import pytest
from click.testing import CliRunner

from lake import layout
from pipelines.export import webdataset
from pipelines.export.croissant import croissant_of_release
from pipelines.export.record import ExportRecord, Form
from provoice import open_release, release_export
from provoice.cli.errors import explained
from provoice.cli.release_export import export_command, use_command
from provoice.export_lineage import Lineage
from provoice.release_export import export_release
from provoice.release_use import register_use
from schemas.errors import ConfigError, ConsentError
from schemas.instants import to_text
from schemas.ledger import Event, EventType
from tests.builders import flac
from tests.consents import NOW, ended, given, grant, rule, spoken
from tests.provoice.loader_lakes import NAME, USE, Clock, erase, release_of, voices_lake

EACH_FORM = pytest.mark.parametrize("form", Form)
OWNER = "speech team"


@pytest.fixture
def made(tmp_path):
    return voices_lake(tmp_path)


def exported(made, out, form=Form.WEBDATASET, **options):
    return export_release(made.uri, NAME, None, str(out), form, **{"owner": OWNER, "clock": Clock(), **options})


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def events(made, kind):
    return [event for _, event in made.lake.ledger().events() if event.type is kind]


def contents(out):
    """Every byte of an export, as it lies and unpacked."""
    for name, data in files(out).items():
        yield name.encode() + data
        if name.endswith(".gz"):
            import gzip

            yield gzip.decompress(data)
        if name.endswith(".parquet"):
            import pyarrow.parquet

            yield repr(pyarrow.parquet.read_table(out / name).to_pylist()).encode()


def keys_in(out):
    found = set()
    for path in glob(f"{out}/shards/*.tar"):
        with tarfile.open(path) as tar:
            found |= {name.removesuffix(".json") for name in tar.getnames() if name.endswith(".json")}
    return found


def withdraw(made, person):
    made.lake.ledger().append([ended(person)])


@EACH_FORM
def test_a_release_is_exported_whole_with_the_lake_s_bytes(made, tmp_path, form):
    record = exported(made, tmp_path / "out", form, purpose="train ASR v3")
    assert record.utterances == len(made.keys) == 48
    assert (record.people, record.skipped) == (5, {})
    assert record.checked_position == made.lake.ledger().head()
    assert ExportRecord.model_validate_json((tmp_path / "out/export.json").read_bytes()) == record
    everything = b"".join(contents(tmp_path / "out"))
    assert all(key.encode() in everything for key in made.keys)
    (opening,) = events(made, EventType.OPENED)
    assert (opening.owner, opening.release.sha256) == (OWNER, made.release.sha256)
    assert opening.purpose == f"train ASR v3: {form.value} at {tmp_path}/out"


def test_records_say_whose_voice_it_is_and_by_which_grant(made, tmp_path):
    exported(made, tmp_path / "out")
    with tarfile.open(glob(f"{tmp_path}/out/shards/*.tar")[0]) as tar:
        for name in tar.getnames():
            if name.endswith(".json"):
                row = json.load(tar.extractfile(name))
                (person,) = (link["subject_id"] for link in row["consent"])
                assert row["key"] in made.keys_of[person]
                assert row["consent_lineage"] == {
                    "release": NAME, "release_version": 1, "release_sha256": made.release.sha256,
                    "ledger_position": 5, "subject_ids": [person], "grant_ids": [f"g-{person}"], "rules": [0],
                    "allowed_until": to_text(made.release.use.until),
                }  # fmt: skip
            elif name.endswith(".flac"):
                assert tar.extractfile(name).read() == flac()


@EACH_FORM
def test_the_same_release_twice_gives_the_same_bytes(made, tmp_path, form):
    for name in ("one", "two"):
        exported(made, tmp_path / name, form)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one.pop("export.json") != two.pop("export.json")  # the first export's opening is an event of its own
    assert one == two


@EACH_FORM
class TestWithdrawals:
    def test_after_the_release_refuse_it(self, made, tmp_path, form):
        withdraw(made, "p1")
        with pytest.raises(ConsentError, match=r"withdrawn.*p1.*--skip-denied"):
            exported(made, tmp_path / "out", form)
        assert files(tmp_path / "out") == {}
        assert events(made, EventType.OPENED) == []

    def test_after_the_release_are_left_out_where_that_is_asked_for(self, made, tmp_path, form):
        withdraw(made, "p1")
        record = exported(made, tmp_path / "out", form, skip_denied=True)
        gone = made.keys_of["p1"]
        assert record.skipped == {"withdrawn": len(gone)}
        assert record.utterances == len(made.keys) - len(gone)
        for content in contents(tmp_path / "out"):
            assert b"p1" not in content
            assert not any(key.encode() in content for key in gone)

    def test_while_it_is_written_refuse_it_and_leave_nothing(self, made, tmp_path, form, monkeypatch):
        withdraws_midway(made, monkeypatch, ["p1"])
        with pytest.raises(ConsentError, match=r"withdrawn.*p1"):
            exported(made, tmp_path / "out", form)
        assert files(tmp_path / "out") == {}

    def test_while_it_is_written_are_left_out_in_the_end(self, made, tmp_path, form, monkeypatch):
        withdraws_midway(made, monkeypatch, ["p1", "p2"])
        record = exported(made, tmp_path / "out", form, skip_denied=True)
        assert record.skipped == {"withdrawn": len(made.keys_of["p1"] | made.keys_of["p2"])}
        for content in contents(tmp_path / "out"):
            assert b"p1" not in content
            assert b"p2" not in content


def withdraws_midway(made, monkeypatch, people):
    """One of `people` withdraws after the last sample of each try, as long as there are any."""
    before = release_export.Lineage.samples
    waiting = list(people)

    def samples(self, opened):
        yield from before(self, opened)
        if waiting:
            withdraw(made, waiting.pop())

    monkeypatch.setattr(release_export.Lineage, "samples", samples)


def test_who_is_overtaken_again_and_again_gives_up(made, tmp_path, monkeypatch):
    withdraws_midway(made, monkeypatch, ["p0", "p1", "p2"])
    with pytest.raises(ConsentError, match="3 times in a row"):
        exported(made, tmp_path / "out", skip_denied=True)
    assert files(tmp_path / "out") == {}


def changed(path):
    return Event(
        event_id=f"changed-{path}", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, source_root="raw",
        source_path=path, catalogue_row_sha256="f" * 64,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "holds"),
    [
        (ended("p1"), False),
        (ended("p1", "g-p1", EventType.INVALIDATED), False),
        (given(grant("p1", "g-no", rules=[rule("prohibit", ["train_asr"])])), False),
        (given(grant("p1", "g-more")), True),
        (changed("u0/s1.wav"), False),
        (changed("elsewhere.wav"), True),
        (spoken(), False),
        (ended("somebody"), True),
    ],
    ids=lambda value: value.event_id if isinstance(value, Event) else None,
)
def test_what_takes_away_from_what_was_written_is_known(made, event, holds):
    lineage = Lineage(made.lake, made.release, Clock())
    opened = open_release(made.uri, NAME, owner=OWNER, purpose="export", record=False, clock=Clock())
    assert sum(1 for _ in lineage.samples(opened)) == 48
    assert lineage.still_holds()
    made.lake.ledger().append([event])
    assert lineage.still_holds() == holds


def test_what_strangers_say_meanwhile_does_not_begin_it_again(made, tmp_path, monkeypatch):
    before = release_export.Lineage.samples

    def samples(self, opened):
        yield from before(self, opened)
        made.lake.ledger().append([given(grant("new person")), ended("somebody")])

    monkeypatch.setattr(release_export.Lineage, "samples", samples)
    assert exported(made, tmp_path / "out").utterances == 48
    assert len(events(made, EventType.OPENED)) == 1


def test_a_renewed_grant_needs_a_new_version(made, tmp_path):
    """The index names the grant that was withdrawn: nothing goes out in the name of a grant that has ended."""
    made.lake.ledger().append([given(grant("p1", "g-renewed", valid_until=datetime(2120, 1, 1, tzinfo=UTC)))])
    made.lake.ledger().append([ended("p1", "g-p1")])
    with pytest.raises(ConsentError, match=r"withdrawn 12 of p1 \(grant g-p1\)"):
        exported(made, tmp_path / "old")
    release_of(made.lake, version=2)
    assert exported(made, tmp_path / "new").utterances == 48
    said = b"".join(contents(tmp_path / "new/shards"))
    assert b"g-p1" not in said
    assert said.count(b'"grant_ids":["g-renewed"]') == 12


def test_a_time_that_runs_out_while_it_is_written_is_noticed(made, tmp_path, monkeypatch):
    clock = Clock()
    release_of(made.lake, version=2, wanted=USE.model_copy(update={"until": clock.now + timedelta(minutes=1)}))
    before = release_export.Lineage.samples

    def samples(self, opened):
        yield from before(self, opened)
        clock.passes(120)

    monkeypatch.setattr(release_export.Lineage, "samples", samples)
    with pytest.raises(ConsentError, match="too_late"):
        exported(made, tmp_path / "out", clock=clock)
    assert files(tmp_path / "out") == {}


def test_what_was_erased_is_refused_or_left_out(made, tmp_path):
    gone = erase(made, made.units[0], "p1", tmp_path)
    with pytest.raises(ConsentError, match="erased"):
        exported(made, tmp_path / "out")
    record = exported(made, tmp_path / "out", skip_denied=True)
    assert record.skipped == {"erased": len(gone)}
    assert keys_in(tmp_path / "out") == made.keys - gone


def test_what_nobody_may_use_any_more_is_not_exported(made, tmp_path):
    for person in made.keys_of:
        withdraw(made, person)
    with pytest.raises(ConsentError, match="no utterance may be used any more"):
        exported(made, tmp_path / "out", skip_denied=True)
    nobody = USE.model_copy(update={"until": datetime(2200, 1, 1, tzinfo=UTC)})
    release_of(made.lake, version=2, wanted=nobody)
    with pytest.raises(ConfigError, match="holds no utterance"):
        exported(made, tmp_path / "out", skip_denied=True)
    assert files(tmp_path / "out") == {}


def test_a_launcher_s_rank_does_not_make_it_a_part(made, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert exported(made, tmp_path / "out").utterances == 48


def test_what_cannot_be_recorded_is_not_exported(made, tmp_path, monkeypatch):
    from lake.ledger import Ledger
    from schemas.errors import LakeError

    def refuses(*_):
        raise LakeError("may not be written")

    monkeypatch.setattr(Ledger, "append", refuses)
    with pytest.raises(ConsentError, match="may not be written"):
        exported(made, tmp_path / "out")
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize("place", ["", "exports", "consent/exports", ".."])
def test_an_export_does_not_lie_within_the_lake_nor_around_it(made, place):
    with pytest.raises(ConfigError, match="lie within each other"):
        exported(made, f"{made.uri}/{place}")


def test_where_nothing_can_be_written_nothing_is_recorded(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        exported(made, tmp_path / "file/out")
    assert events(made, EventType.OPENED) == []


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_a_release_s_own_croissant_lists_its_index(made):
    import mlcroissant

    path = layout.release_croissant_path(NAME, 1)
    made.lake.root.create(path, croissant_of_release(made.release))
    found = mlcroissant.Dataset(jsonld=made.lake.root.uri_of(path))
    assert {one["utterances/key"].decode() for one in found.records("utterances")} == made.keys


def test_an_interrupted_export_is_made_again(made, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(webdataset.tarfile, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            exported(made, tmp_path / "out")
    assert list(files(tmp_path / "out")) == ["export.started.json"]
    assert exported(made, tmp_path / "out").utterances == 48


# --- as it is typed -------------------------------------------------------------------------------------------------


def typed(command, *words):
    with explained():
        return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)


def refused(command, *words):
    """The exit code, for what a user can cause."""
    with pytest.raises(SystemExit) as stopped:
        typed(command, *words)
    return stopped.value.code


class TestTyped:
    def test_every_form_can_be_typed(self):
        (option,) = (one for one in export_command.params if one.name == "form")
        assert list(option.type.choices) == [form.value for form in Form]

    def test_export_tells_what_it_wrote_and_left_out(self, made, tmp_path):
        withdraw(made, "p1")
        words = (made.uri, NAME, tmp_path / "out", "--format", "nemo", "--owner", OWNER)
        assert refused(export_command, *words) == 4
        done = typed(export_command, *words, "--skip-denied")
        assert done.exit_code == 0
        assert "voices@1 as nemo: 36 utterances, 36.0 s, 4 people" in done.output
        assert "left out, for they may no longer be used: 12 withdrawn" in done.output
        assert refused(export_command, *words, "--skip-denied") == 2

    def test_export_as_json_is_export_json(self, made, tmp_path):
        done = typed(
            export_command, made.uri, f"{NAME}@1", tmp_path / "out", "--format", "webdataset", "--owner", OWNER,
            "--shard-size", "20kB", "--json",
        )  # fmt: skip
        record = ExportRecord.model_validate_json(done.output)
        assert record == ExportRecord.model_validate_json((tmp_path / "out/export.json").read_bytes())
        assert sum(one.kind == "shard" for one in record.files) > 1

    @pytest.mark.parametrize("wrong", ["voices@0", "voices@one", "@1", ""])
    def test_a_name_that_is_none(self, made, tmp_path, wrong):
        done = typed(export_command, made.uri, wrong, tmp_path / "out", "--format", "nemo", "--owner", OWNER)
        assert done.exit_code == 2
        assert "NAME@VERSION" in done.output

    @pytest.mark.parametrize("wrong", ["0", "many", "-1", "5 parsecs"])
    def test_a_size_that_is_none(self, made, tmp_path, wrong):
        words = ("--format", "nemo", "--owner", OWNER, "--shard-size", wrong)
        assert typed(export_command, made.uri, NAME, tmp_path / "out", *words).exit_code == 2
        assert not (tmp_path / "out").exists()

    def test_use_is_recorded_for_ever(self, made):
        done = typed(
            use_command, made.uri, f"{NAME}@1", "--model", "asr-v3", "--owner", OWNER, "--note", "run 7", "--json"
        )
        found = json.loads(done.output)
        ((position, event),) = [(p, e) for p, e in made.lake.ledger().events() if e.type is EventType.USED]
        assert found == {
            "position": position, "release": NAME, "version": 1, "release_sha256": made.release.sha256,
            "model": "asr-v3", "owner": OWNER, "people_withdrawn": 0,
        }  # fmt: skip
        assert (event.model, event.owner, event.note) == ("asr-v3", OWNER, "run 7")
        assert (event.release.lake, event.release.ledger_position) == (made.uri, 5)

    def test_use_says_the_position(self, made):
        done = typed(use_command, made.uri, NAME, "--model", "asr-v3", "--owner", OWNER)
        assert done.output.startswith("recorded at ledger position 6: asr-v3 was trained on voices@1")

    def test_use_of_what_does_not_exist_is_refused(self, made):
        for name in ("gold", f"{NAME}@7"):
            assert refused(use_command, made.uri, name, "--model", "asr-v3", "--owner", OWNER) == 2
        assert refused(use_command, made.uri, NAME, "--model", " ", "--owner", OWNER) == 2
        with pytest.raises(ConfigError, match=r"no release voice .did you mean `voices`.*releases: voices"):
            register_use(made.uri, "voice", None, model="asr-v3", owner=OWNER)
        assert events(made, EventType.USED) == []


def test_the_same_use_said_twice_is_one_event(made):
    one = register_use(made.uri, NAME, 1, model="asr-v3", owner=OWNER)
    two = register_use(made.uri, NAME, 1, model="asr-v3", owner=OWNER)
    other = register_use(made.uri, NAME, 1, model="asr-v4", owner=OWNER)
    said: list[Event] = events(made, EventType.USED)
    assert (one.position, two.position, other.position) == (6, 7, 8)
    assert said[0].event_id == said[1].event_id != said[2].event_id
