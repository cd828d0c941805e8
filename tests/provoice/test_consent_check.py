"""`provoice consent check` and `provoice consent vocabulary`, as a data steward types them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from lake.ledger import Ledger
from lake.storage import Root
from pipelines.vocabulary import SHIPPED, shipped, vocabulary_event
from provoice.consent_check import history_of, record_of
from provoice.consent_layout import laid_out
from provoice.history import SourceStory
from schemas.consent import DataScope, RecordingRef
from schemas.ledger import Event, EventType
from schemas.releases import ReleaseRecord, Share
from tests.builders import ANNA, BOTH, BOTH_NEWER, ROOT, Made, key_of, write_run
from tests.builders import small_lake as build
from tests.consents import NOW, ended, given, grant, record, rule, spoken, use
from tests.transforms.random_ledgers import RECORDS, USES, ledgers
from transforms.consent import decide
from transforms.consent_history import follow
from transforms.consent_state import fold
from transforms.consent_words import explain

AUDIOBOOK = (
    "action: train_asr\nmedium: audiobook\ngenre: FBA\nseries: publisher:acme:blue\nrole: E07\nrecipient: internal\n"
    "territory: DE-BY\nuntil: 2027-01-01\n"
)
WINDOW = {"valid_from": datetime(2026, 1, 1, tzinfo=UTC), "valid_until": datetime(2028, 1, 1, tzinfo=UTC)}
NARROW = rule(
    action=["train_asr", "train_tagger"], medium=["audiobook"], genre=["FB", "FF"], territory=["EU"],
    recipient=["internal"], durable_until=datetime(2027, 6, 1, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture
def use_file(tmp_path):
    path = tmp_path / "use.yaml"
    path.write_text(AUDIOBOOK)
    return path


@pytest.fixture(scope="module")
def spoken_lake(tmp_path_factory):
    """The small lake, whose ledger (5 events) goes on: the vocabulary (6), and grants of Nina (7) and Otto (8, 9)."""
    folder = tmp_path_factory.mktemp("spoken")
    made = build(folder)
    elsewhere = DataScope(kind="recordings", recordings=(RecordingRef(root=ROOT, path="q.wav"),))
    made.lake.ledger().append(
        [
            vocabulary_event(shipped(), NOW),
            given(grant("nina", "g-nina", [NARROW, rule("prohibit", ["train_asr"], genre=["FP"])], **WINDOW)),
            given(grant("otto", "g-otto", scope=elsewhere, **WINDOW)),
            ended("otto", "g-lost"),
        ]
    )
    sources = [
        Made("n/nina.wav", {"nina": "g-nina"}, 1),
        Made("n/otto.wav", {"otto": "g-otto"}, 1),
        Made("n/duo.wav", {"nina": "g-nina", "otto": "g-otto"}, 1),
    ]
    write_run(made.lake, folder / "work", [sources], run_id="third", recipe="d", ledger_position=9)
    return made


def test_what_is_allowed_says_by_which_rule_until_when_and_exits_with_0(provoice, spoken_lake, use_file):
    answer = provoice("consent", "check", spoken_lake.uri, "n/nina.wav", "--use", use_file, "--at", "2026-06-01")
    said = " ".join(answer.stdout.split())
    assert answer.exit_code == 0
    assert "genre: FBA is narrower than FB, which the rule names" in said
    assert "territory: DE-BY is narrower than EU, which the rule names" in said
    assert "grant g-nina: valid, given at position 7, 2026-06-01" in said
    assert "rule 1 prohibits train_asr: does not reach this use, for its genre" in said
    assert "ALLOWED until 2027-01-01 by rule 0 of grant g-nina (nina), which ends 2028-01-01" in said
    assert "decided at ledger position 9, as of 2026-06-01T00:00:00Z" in said


@pytest.mark.parametrize(
    ("name", "old", "new", "verdict", "change"),
    [
        ("n/nina.wav", "FBA", "FP", "DENIED: prohibited (nina): rule 1 of g-nina prohibits it", "does not prohibit"),
        ("n/nina.wav", "FBA", "any", "DENIED: prohibited (nina)", "does not prohibit"),
        ("n/nina.wav", "FBA", "DC", "DENIED: not_permitted (nina)", "comes nearest, and lacks genre DC"),
        ("n/nina.wav", "until: 2027-01-01", "until: 2027-12-01", "DENIED: too_late (nina)", "an earlier `until`"),
        ("n/nina.wav", "audiobook", "audiobok", "DENIED: unknown_term: version 2026.1", "near it: medium audiobook"),
        ("n/otto.wav", "FBA", "FBA", "DENIED: out_of_scope (otto)", "a grant that speaks of this recording"),
        ("n/duo.wav", "FBA", "FBA", "DENIED: out_of_scope (otto)", "a grant that speaks of this recording"),
        ("d/dora.wav", "FBA", "FBA", "DENIED: withdrawn (dora): g-dora was withdrawn", "a withdrawal is for good"),
        ("d/carol.wav", "FBA", "FBA", "DENIED: no_grant (carol)", "carol is asked"),
        ("e/look.wav", "FBA", "FBA", "DENIED: no_subject", "the catalogue names everybody who is heard"),
    ],
)
def test_what_is_denied_says_why_and_what_would_have_to_change(
    provoice, spoken_lake, use_file, name, old, new, verdict, change
):
    use_file.write_text(AUDIOBOOK.replace(old, new))
    answer = provoice("consent", "check", spoken_lake.uri, name, "--use", use_file, "--at", "2026-06-01")
    said = " ".join(answer.stdout.split())
    assert answer.exit_code == 4
    assert verdict in said
    assert change in said.partition("what would have to change:")[2]


def test_an_utterance_is_asked_by_its_key_and_a_superseded_one_says_so(provoice, spoken_lake, use_file):
    for key, is_superseded in ((key_of(BOTH_NEWER), False), (key_of(BOTH, 1), True)):
        said = " ".join(provoice("consent", "check", spoken_lake.uri, key, "--use", use_file).stdout.split())
        assert f"utterance {key}" in said
        assert "whose voice: anna and ben; everybody heard is listed" in said
        assert ("a later run has superseded it" in said) == is_superseded


def test_a_decision_is_told_as_it_was_at_a_position(provoice, spoken_lake, use_file):
    words = ("consent", "check", spoken_lake.uri, "d/dora.wav", "--use", use_file, "--at", "2026-06-01")
    use_file.write_text("".join(f"{line.partition(':')[0]}: any\n" for line in AUDIOBOOK.splitlines()[1:7]))
    use_file.write_text(f"action: train_asr\nuntil: 2027-01-01\n{use_file.read_text()}")
    assert provoice(*words, "--position", 4).exit_code == 0
    after = provoice(*words, "--position", 5)
    assert (after.exit_code, "withdrawn at position 5, 2026-06-01" in after.stdout) == (4, True)
    nothing = provoice(*words, "--position", 0)
    assert (nothing.exit_code, "no grant is recorded" in nothing.stdout) == (4, True)
    beyond = provoice(*words, "--position", 99)
    assert (beyond.exit_code, "the ledger stands at position 9" in beyond.stderr) == (2, True)


def test_a_changed_catalogue_row_denies_and_is_told_with_its_place(provoice, tmp_path, use_file):
    made = build(tmp_path / "own")
    changed = Event(
        event_id="c", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, source_root=ROOT, source_path=ANNA.path,
        catalogue_row_sha256="f" * 64,
    )  # fmt: skip
    made.lake.ledger().append([changed])
    said = " ".join(provoice("consent", "check", made.uri, ANNA.path, "--use", use_file).stdout.split())
    assert "its catalogue row has changed since it was prepared: position 6, 2026-06-01" in said
    assert "the ledger holds no vocabulary: only `any` is known" in said
    assert "DENIED: catalogue_changed" in said
    assert "`provoice run` prepares it again" in said


def test_what_is_read_of_the_ledger_is_all_that_the_decision_needs(tmp_path_factory):
    @settings(max_examples=40)
    @law(ledgers(), RECORDS, USES, st.integers(0, 6))
    def agrees(events, of, asked, position):
        ledger = Ledger(Root(str(tmp_path_factory.mktemp("ledger"))))
        ledger.ensure()
        # Somebody else's grant of the same name: the first of the two counts.
        other = given(grant("zoe" if position % 2 else "bert", "g0")).model_copy(update={"event_id": "other"})
        events = [other, *events] if position % 3 else [*events, other]
        ledger.append(events)
        position = min(position, len(events))
        told = explain(of, asked, history_of(ledger, of, position), NOW)
        assert told.decision == decide(of, asked, fold(list(enumerate(events, 1))[:position]), NOW)

    agrees()


def test_only_the_grants_that_the_catalogue_names_count_and_a_lost_one_is_named():
    words = laid_out(
        explain(
            record("anna", grant_ids=("g-anna", "g-lost")), use(),
            follow(enumerate([spoken(), given(grant()), given(grant("anna", "g-other"))], 1)), NOW,
        ),
        ["a record"], 100,
    )  # fmt: skip
    assert "only these of their grants count: g-anna and g-lost" in words
    assert "of these nobody in it has given g-lost" in words
    assert "is not one of those that count; what it prohibits holds all the same" in words
    assert "ALLOWED" in words


def test_json_holds_everything_and_the_same_verdict(provoice, spoken_lake, use_file):
    words = ("consent", "check", spoken_lake.uri, "n/duo.wav", "--use", use_file, "--at", "2026-06-01", "--json")
    answer = provoice(*words)
    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["allowed"], told["reason"], told["position"]) == (4, False, "out_of_scope", 9)
    assert [one["subject_id"] for one in told["subjects"]] == ["nina", "otto"]
    first = told["subjects"][0]["grants"][0]["rules"][0]
    assert (first["speaks"], first["until"]) == (True, "2027-06-01T00:00:00Z")
    assert {term["facet"]: term["asked"] for term in first["terms"]}["territory"] == "DE-BY"
    assert told["justifications"][0]["grant_id"] == "g-nina"
    assert len(told["remedies"]) == 1


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_the_terminal(provoice, spoken_lake, use_file, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("n/duo.wav", "n/nina.wav", "d/carol.wav"):
        said = provoice("consent", "check", spoken_lake.uri, name, "--use", use_file).stdout
        assert max(map(len, said.splitlines())) <= columns


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("n/nima.wav", (), "near it: n/nina.wav"),
        ("n/nina.wav", ("--at", "tomorrow"), "--at: `tomorrow` is no instant"),
        ("n/nina.wav", ("--at", "2026-06-01T00:00:00"), "with its zone"),
        ("n/nina.wav", ("--use", "nowhere.yaml"), "nowhere.yaml cannot be read"),
    ],
)
def test_a_wrong_request_is_one_line_and_exits_with_2(provoice, spoken_lake, use_file, name, words, said):
    answer = provoice("consent", "check", spoken_lake.uri, name, "--use", use_file, *words)
    assert (answer.exit_code, answer.stdout, len(answer.stderr.splitlines())) == (2, "", 1)
    assert said in answer.stderr


def test_a_path_under_several_roots_is_not_guessed(provoice, tmp_path, use_file, monkeypatch):
    made = build(tmp_path / "own")
    monkeypatch.setattr("provoice.consent_check.find", _under_two_roots)
    answer = provoice("consent", "check", made.uri, ANNA.path, "--use", use_file)
    assert answer.exit_code == 2
    assert "under several roots; name one of these by its recording id: raw (" in answer.stderr


def _under_two_roots(lake, name):
    from provoice.history import Story, find

    (source,) = find(lake, name).sources
    return Story([source, SourceStory("other", source.path)])


def test_a_row_from_before_grant_ids_counts_only_the_grants_it_was_taken_in_on():
    links = [{"subject_id": "ben", "grant_id": "g2"}, {"subject_id": "anna", "grant_id": None}]
    row = {"consent": links, "consent_complete": True, "collected_at": None, "grant_ids": None}
    source = SourceStory("r", "p")
    assert record_of(row, source, None).grant_ids == ("g2",)
    assert record_of({**row, "grant_ids": []}, source, None).grant_ids == ()
    assert record_of({**row, "grant_ids": ["g9"]}, source, "s").subject_ids == ("anna", "ben")


@pytest.fixture
def own(tmp_path):
    """A vocabulary of one's own: the shipped one with another version."""
    folder = shutil.copytree(SHIPPED, tmp_path / "own")
    (folder / "version.yaml").write_text('version: "2026.2"\n')
    return folder


def test_the_vocabulary_in_force_is_shown_and_the_shipped_one_brought_in(provoice, tmp_path):
    lake = build(tmp_path / "made").uri
    assert "the ledger holds no vocabulary" in provoice("consent", "vocabulary", lake).stdout
    assert json.loads(provoice("consent", "vocabulary", lake, "--json").stdout) is None
    brought = provoice("consent", "vocabulary", lake, "configs/vocabulary")
    assert (brought.exit_code, "appended at ledger position 6" in brought.stdout) == (0, True)
    shown = provoice("consent", "vocabulary", lake).stdout
    assert "version 2026.1, in force since ledger position 6" in shown
    assert "Thema subject categories 1.6" in shown
    assert "nothing new" in provoice("consent", "vocabulary", lake, "configs/vocabulary").stdout


def test_what_is_shown_as_json_can_be_changed_and_brought_in_again(provoice, tmp_path):
    lake = build(tmp_path / "made").uri
    provoice("consent", "vocabulary", lake, "configs/vocabulary")
    whole = json.loads(provoice("consent", "vocabulary", lake, "--json").stdout)
    (tmp_path / "next.json").write_text(json.dumps({**whole, "version": "2026.2"}))
    assert "appended at ledger position 7" in provoice("consent", "vocabulary", lake, tmp_path / "next.json").stdout
    shown = provoice("consent", "vocabulary", lake).stdout
    assert "version 2026.2" in shown
    assert "before it: 2026.1 (position 6)" in shown


def test_a_version_is_never_edited_or_brought_back(provoice, spoken_lake, own):
    (own / "version.yaml").write_text('version: "2026.1"\n')
    (own / "genre.yaml").write_text((own / "genre.yaml").read_text().replace("  FBA: Modern", "  FBA: Quite modern"))
    answer = provoice("consent", "vocabulary", spoken_lake.uri, own)
    assert (answer.exit_code, "with other content (position 6)" in answer.stderr) == (2, True)


def test_what_a_new_version_changes_is_told_before_anything_is_written(provoice, spoken_lake, own):
    genre, territory = (own / "genre.yaml").read_text(), (own / "territory.yaml").read_text()
    without = "".join(line for line in genre.splitlines(keepends=True) if not line.startswith(("  FP:", "  FF")))
    (own / "genre.yaml").write_text(without.replace("F[BCDFGHJKLMNPQ", "F[BCDGHJKLMNQ"))
    (own / "territory.yaml").write_text(
        territory.replace("  GB: United Kingdom", "  GB: {label: United Kingdom, broader: [EU]}")
    )
    answer = provoice("consent", "vocabulary", spoken_lake.uri, own, "--dry-run")
    said = " ".join(answer.stdout.split())
    assert answer.exit_code == 0
    assert "10 terms removed: FF, FFC" in said
    assert "1 term under other terms than before: GB" in said
    assert "genre FF, permitted by g-nina rule 0: loses its meaning: nothing is permitted by it any more" in said
    assert "genre FP, prohibited by g-nina rule 1: loses its meaning: every request" in said
    assert "territory EU, permitted by g-nina rule 0: reaches further: GB" in said
    assert "nothing was written" in said
    assert spoken_lake.lake.ledger().head() == 9
    told = json.loads(provoice("consent", "vocabulary", spoken_lake.uri, own, "--dry-run", "--json").stdout)
    assert (told["position"], told["replaces"], len(told["rules"])) == (None, "2026.1", 3)


def test_a_release_whose_terms_are_lost_is_named(provoice, tmp_path, own):
    made = build(tmp_path / "made")
    provoice("consent", "vocabulary", made.uri, "configs/vocabulary")
    everything = dict.fromkeys(("medium", "series", "role", "recipient", "territory"), "any")
    release = ReleaseRecord(
        name="crime", version=1, use=use(genre="FF", **everything), ledger_position=6, decided_at=NOW, created_at=NOW,
        candidates=Share(), matching=Share(), chosen=Share(),
    ).sealed()  # fmt: skip
    made.lake.root.create("releases/crime/1/release.json", release.model_dump_json().encode())
    text = (own / "genre.yaml").read_text().replace("F[BCDFGHJKLMNPQ", "F[BCDGHJKLMNPQ")
    (own / "genre.yaml").write_text("".join(x for x in text.splitlines(keepends=True) if not x.startswith("  FF")))
    said = " ".join(provoice("consent", "vocabulary", made.uri, own).stdout.split())
    assert "release crime 1 is for genre FF, which version 2026.2 does not know: it can be opened no more" in said
