"""`provoice accent`: from a labelled lake to a head, and from the head to a tagged run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from lake.lake import Lake
from lake.releases import read_release
from provoice.accent_examples import PER_SPEAKER, few_of_each, one_voice
from provoice.sql import connect, records
from tests.accents import LABELS, SETTINGS, TAGGER_YAML, labelled_lake, people, undeclared
from tests.builders import Made, write_run
from tests.consents import ended, given, grant
from tests.releases import USE_YAML, crowd, person
from tests.runs import run
from transforms.items import Accent


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `lake`, whose utterances are labelled, and a release `accents` for a head."""
    from click.testing import CliRunner

    from provoice.cli.main import cli

    folder = tmp_path_factory.mktemp("accents")
    labelled_lake(folder)
    words = ["release", "create", str(folder / "lake"), "accents", "--use", str(folder / "use.yaml")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def fitted(made) -> tuple[Path, str]:
    """A head, and what was said of it."""
    from click.testing import CliRunner

    from provoice.cli.main import cli

    out = made / "heads" / "ours.json"
    words = ["accent", "fit", str(made / "lake"), "accents", "--out", str(out), "--owner", "speech-team"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return out, done.stdout


def ask(lake: Path | str, query: str) -> list[dict[str, object]]:
    with connect(Lake.open(str(lake)), query) as connection:
        return records(connection, query)


# --- the data sheet ---------------------------------------------------------------------------------------------------


def test_it_says_what_the_head_can_do_with_people_it_has_not_heard(fitted) -> None:
    _, said = fitted
    for words in (
        "ours, version accents@1",
        "trained on      release accents@1, decided at ledger position 8",
        "answers for it  speech-team",
        "labels          of english-1: scottish 4 speakers, welsh 4 speakers",
        "heard           16 utterances of 8 speakers; 0 left out",
        "by chance 0.50",
        "(0.80 wanted)",
        "not sure",
        "Fewer than 10 speakers: scottish, welsh.",
    ):
        assert words in said
    assert max(map(len, said.splitlines())) <= 120


def test_what_it_prints_last_is_a_configuration(fitted) -> None:
    out, said = fitted
    config = yaml.safe_load(said[said.index("accent:\n") :])
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    assert config["accent"] == {
        "method": "head", "label_set": "english-1", "head": str(out), "head_sha256": sha256,
    }  # fmt: skip


def test_show_says_the_same_and_json_all_of_it(fitted, made, provoice) -> None:
    out, said = fitted
    shown = provoice("accent", "show", out)
    assert shown.exit_code == 0
    assert said.startswith(shown.stdout)
    told = json.loads(provoice("accent", "show", out, "--json").stdout)
    release = read_release(Lake.open(str(made / "lake")), "accents")
    sheet = told["sheet"]
    assert told["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (sheet["release_sha256"], sheet["ledger_position"]) == (release.sha256, release.ledger_position)
    assert sheet["labels"] == {label: {"speakers": 4, "utterances": 8} for label in LABELS}
    assert sum(map(sum, sheet["confusion"])) == 16
    assert [coverage for coverage, _ in sheet["curve"]] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert 0 <= sheet["calibration_error"] <= 1
    assert sheet["accuracy"] >= 0.75, "the labels differ so much that anybody hears it"
    assert "weights" not in told


def test_nobody_is_named_in_the_file(fitted) -> None:
    text = fitted[0].read_text()
    assert not [who for who, _ in people() if f'"{who}"' in text]


def test_a_withdrawal_finds_the_head_and_who_answers_for_it(fitted, made) -> None:
    out, _ = fitted
    (used,) = ask(made / "lake", "select * from uses where type = 'used' and model like '%ours%'")
    assert used["owner"] == "speech-team"
    assert used["model"] == f"accent head ours sha256:{hashlib.sha256(out.read_bytes()).hexdigest()}"
    assert (used["release"], used["version"]) == ("accents", 1)
    found = ask(made / "lake", "select subject_id from decisions where release = 'accents' and subject_id = 's0'")
    assert len(found) == 2
    (opened,) = ask(made / "lake", "select * from uses where type = 'opened' and purpose = 'accent head ours'")
    assert opened["owner"] == "speech-team"


def test_the_same_release_makes_the_same_file_and_nothing_is_overwritten(fitted, made, provoice) -> None:
    out, _ = fitted
    words = ("accent", "fit", made / "lake", "accents", "--owner", "speech-team", "--json")
    again = provoice(*words, "--out", out)
    assert again.exit_code == 0, again.output
    other = provoice(*words, "--out", made / "again.json", "--name", "ours")
    assert other.exit_code == 0, other.output
    assert (made / "again.json").read_bytes() == out.read_bytes()
    assert json.loads(other.stdout) == json.loads(again.stdout)
    before = out.read_bytes()
    another = provoice(*words, "--out", out, "--coverage", "0.5")
    assert (another.exit_code, out.read_bytes()) == (2, before)
    assert "exists already, and is another head" in another.stderr


# --- the tagged run ---------------------------------------------------------------------------------------------------


def test_a_run_tags_what_nobody_declares_and_nothing_else(fitted, made) -> None:
    out, _ = fitted
    catalogue = undeclared(made)
    sha256 = hashlib.sha256(out.read_bytes()).hexdigest()
    head = (f"accent.head={out}", f"accent.head_sha256={sha256}", "accent.method=head")
    run(made / "new", made / "tagged", "configs/explore.yaml", (*SETTINGS, *head), catalogue)
    query = "select lineage.source_path as path, accent, quality_flags, lineage.models as models from utterances"
    rows = {row["path"]: row for row in ask(made / "tagged", query)}
    assert set(rows) == {"declared.wav", *(f"{label}-{n}.wav" for label in LABELS for n in range(2))}
    declared = rows.pop("declared.wav")
    assert (declared["accent"]["label"], declared["accent"]["origin"]) == ("irish", "declared")
    assert not [name for name in declared["models"] if name.startswith("accent_head/")]
    for path, row in rows.items():
        assert row["models"]["accent_head/ours"] == f"accents@1 sha256:{sha256}"
        if row["accent"] is None:
            assert "accent_is_unsure" in row["quality_flags"]
        else:
            assert row["accent"]["origin"] == "predicted"
            assert path.startswith(row["accent"]["label"])
    assert sum(row["accent"] is not None for row in rows.values()) >= 2
    assert declared["quality_flags"] == []
    people = {row["subject_id"]: row for row in ask(made / "tagged", "from subject_accents")}
    assert (people["s0"]["origin"], people["s1"]["origin"]) == ("predicted", "declared")
    assert people["s0"]["unsure"] == sum(row["accent"] is None for row in rows.values())


def test_a_run_with_another_head_than_the_one_that_is_stated_ends_before_it_begins(fitted, made, provoice) -> None:
    out, _ = fitted
    sets = [f"accent.head={out}", f"accent.head_sha256={'a' * 64}", "accent.method=head", "workers=1"]
    words = ["run", "configs/explore.yaml", "--source", f"raw={made / 'raw'}", "--lake", made / "wrong"]
    done = provoice(*words, *(word for setting in sets for word in ("--set", setting)))
    assert done.exit_code == 2, done.output
    assert "ours.json has sha256" in done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("accent.method=head",), "takes `head` and `head_sha256`"),
        (("accent.head=x", "accent.head_sha256=" + "a" * 64), "say `method: head`"),
        (("accent.method=classifier",), "accent.classifier.model names none"),
    ],
)
def test_a_run_that_cannot_tag_does_not_begin(made, provoice, tmp_path, settings, said) -> None:
    sets = [word for setting in settings for word in ("--set", setting)]
    words = ("run", "configs/explore.yaml", "--source", f"raw={made / 'raw'}", "--lake", tmp_path / "lake", *sets)
    done = provoice(*words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr


# --- what is refused --------------------------------------------------------------------------------------------------


def released(folder: Path, provoice, *, use: str = TAGGER_YAML, **how) -> str:
    """A lake of a crowd, and a release `gold` of all of it."""
    lake = crowd(folder, lasting=True, **how)
    (folder / "gold.yaml").write_text(use)
    done = provoice("release", "create", lake.uri, "gold", "--use", folder / "gold.yaml")
    assert done.exit_code == 0, done.output
    return lake.uri


def fit(provoice, uri, out, *options):
    return provoice("accent", "fit", uri, "gold", "--out", out, "--owner", "us", *options)


def test_a_release_made_for_something_else_is_refused(tmp_path, provoice) -> None:
    uri = released(tmp_path, provoice, use=USE_YAML)
    done = fit(provoice, uri, tmp_path / "head.json")
    assert done.exit_code == 4
    assert "gold@1 was made for train_asr, and a head is trained on one made for train_tagger" in done.stderr
    assert ask(uri, "select * from uses") == [], "it was not even opened"


def test_who_has_withdrawn_is_not_learnt_from(tmp_path, provoice) -> None:
    uri = released(tmp_path, provoice)
    Lake.open(uri).ledger().append([ended(person(1))])
    done = fit(provoice, uri, tmp_path / "head.json")
    assert done.exit_code == 4
    assert "withdrawn" in done.stderr
    assert not (tmp_path / "head.json").exists()


def test_labels_with_too_few_speakers_are_refused_with_their_number(tmp_path, provoice) -> None:
    uri = crowd_of(tmp_path, provoice, ["irish", "irish", "irish", "welsh"])
    done = fit(provoice, uri, tmp_path / "head.json")
    assert done.exit_code == 2
    assert "too few speakers: welsh 1; each label takes 3 or more" in done.stderr
    assert ask(uri, "select * from uses where type = 'used'") == []


def test_one_label_is_refused(tmp_path, provoice) -> None:
    done = fit(provoice, crowd_of(tmp_path, provoice, ["irish", "irish", "irish"]), tmp_path / "head.json")
    assert done.exit_code == 2
    assert "there is only `irish`: it takes two or more" in done.stderr


def test_utterances_that_nothing_can_be_learnt_from_are_counted(tmp_path, provoice) -> None:
    uri = crowd_of(tmp_path, provoice, ["irish", None, "klingon"])
    done = fit(provoice, uri, tmp_path / "head.json")
    assert done.exit_code == 2
    assert "1 with `klingon` of english-1, 1 with no accent" in done.stderr or (
        "1 with no accent, 1 with `klingon` of english-1" in done.stderr
    )
    assert "accent.origin = 'declared'" in done.stderr
    other = fit(provoice, uri, tmp_path / "head.json", "--labels", "french-1")
    assert other.exit_code == 2
    assert "no label set `french-1`; there is english-1" in other.stderr


def test_what_a_model_predicted_is_not_learnt_from(tmp_path, provoice) -> None:
    uri = crowd_of(tmp_path, provoice, ["irish", "welsh"], origin="predicted")
    done = fit(provoice, uri, tmp_path / "head.json")
    assert done.exit_code == 2
    assert "2 with an accent that a model predicted" in done.stderr


def crowd_of(folder: Path, provoice, labels, origin: str = "declared") -> str:
    """A release `gold` of one utterance of each person, with these labels of english-1."""
    late = {"valid_until": "2120-01-01T00:00:00Z"}
    lake = Lake.create_or_open(str(folder / "lake"))
    lake.ledger().append([given(grant(person(n), **late)) for n in range(len(labels))])
    rows = [
        Made(f"{n}.wav", {person(n): f"g-{person(n)}"}, 1, accent=label and Accent(label, "english-1", origin, None))
        for n, label in enumerate(labels)
    ]
    write_run(lake, folder, [rows], run_id="one", ledger_position=1)
    (folder / "gold.yaml").write_text(TAGGER_YAML)
    done = provoice("release", "create", lake.root.uri, "gold", "--use", folder / "gold.yaml")
    assert done.exit_code == 0, done.output
    return lake.root.uri


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nowhere.json"), "there is no head at nowhere.json"),
        (("show", "pyproject.toml"), "pyproject.toml is not a head that `provoice accent fit` made"),
        (("show", "heads/"), "names no file"),
        (("fit", "LAKE", "gone", "--out", "x.json", "--owner", "us"), "has no release gone"),
        (("fit", "LAKE", "accents", "--out", "a b.json", "--owner", "us"), "`a b` is no name for a head"),
        (("fit", "LAKE", "accents", "--out", "x.json", "--owner", " "), "owner must say something"),
        (("fit", "LAKE", "accents", "--out", "x.json", "--owner", "us", "--coverage", "1.5"), "--coverage"),
        (("fit", "LAKE", "accents", "--out", "x.json"), "--owner"),
        (
            ("fit", "LAKE", "accents", "--out", "pyproject.toml", "--owner", "us"),
            "exists already, and is another thing",
        ),
        (("fit", "LAKE", "accents@9", "--out", "x.json", "--owner", "us"), "accents"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(made, provoice, words, said) -> None:
    done = provoice("accent", *(str(made / "lake") if word == "LAKE" else word for word in words))
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("x.json").exists()


# --- who is who -------------------------------------------------------------------------------------------------------


def test_people_of_one_utterance_are_one_speaker() -> None:
    voices = one_voice([["a"], ["b", "c"], ["d"], ["c", "e"]])
    assert voices["b"] == voices["c"] == voices["e"]
    assert len(set(voices.values())) == 3


def test_of_each_speaker_as_many_are_heard() -> None:
    speaker_of = {f"k{n}": "talker" for n in range(3 * PER_SPEAKER)} | {"k-other": "other"}
    chosen = few_of_each(speaker_of)
    assert len(chosen) == PER_SPEAKER + 1
    assert "k-other" in chosen
    assert chosen == few_of_each(dict(reversed(speaker_of.items())))
