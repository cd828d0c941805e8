"""The vocabulary that comes with provoice, vocabularies of one's own, and requests as people write them down."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime

import pytest

from lake.ledger import Ledger
from lake.storage import Root
from pipelines.uses import check_terms, read_use
from pipelines.vocabulary import SHIPPED, ensure, load, shipped, spoken, vocabulary_event
from pipelines.yaml_words import read_words, words_of
from schemas.consent import ANY, TERMS, Action
from schemas.errors import ConfigError
from schemas.vocabulary import Facet, Vocabulary
from tests.consents import NOW, VOCABULARY, given, grant

FACETS = pytest.mark.parametrize("name", TERMS)
EU = set(re.findall("..", "ATBEBGHRCYCZDKEEFIFRDEGRHUIEITLVLTLUMTNLPLPTROSKSIESSE"))
USE = {
    "action": "train_asr", "medium": "podcast", "genre": "FBA", "series": "any", "role": "guest",
    "recipient": "internal", "territory": "NO", "until": "2027-01-01",
}  # fmt: skip


def written(path, values):
    path.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    return path


@pytest.fixture
def own(tmp_path):
    """A copy of the shipped folder, to change."""
    return shutil.copytree(SHIPPED, tmp_path / "own")


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(Root(str(tmp_path / "ledger")))
    made.ensure()
    return made


def test_every_file_of_the_folder_is_read_and_cites_its_source():
    assert {path.name for path in SHIPPED.iterdir()} == {f"{name}.yaml" for name in ("version", "action", *TERMS)}
    for name in TERMS:
        assert shipped().facet(name).source
        assert (SHIPPED / f"{name}.yaml").read_text().startswith("# ")


def test_the_actions_are_those_that_a_rule_can_name_each_in_plain_words():
    assert shipped().actions == tuple(Action)
    assert not shipped().unlisted_actions
    for action in Action:
        term = shipped().action_terms[action]
        assert term.label
        assert all(re.fullmatch(r"dpv:[A-Z]\w+", near) for near in term.close_match)


@FACETS
def test_every_broader_term_is_listed_and_every_term_has_a_label(name):
    facet = shipped().facet(name)
    for term in facet.terms.values():
        assert term.label
        assert set(term.broader) <= set(facet.terms)


def test_territories_are_the_249_codes_of_iso_3166_and_two_groups():
    facet = shipped().territory
    codes = [code for code in facet.terms if len(code) == 2 and code != "EU"]
    assert len(codes) == 249
    assert all(re.fullmatch("[A-Z]{2}", code) for code in codes)
    assert set(facet.terms) - set(codes) == {"EU", "EEA"}
    assert {code for code in codes if "EU" in facet.covering(code)} == EU
    assert {code for code in codes if "EEA" in facet.covering(code)} == {*EU, "IS", "LI", "NO"}
    assert facet.terms["NO"].label == "Norway"


@pytest.mark.parametrize(("name", "known", "unknown"), [
    ("territory", ["DE-BY", "US-CA", "GB-ENG", "FR-75"],
     ["UK", "XX", "XX-1", "EU-BY", "de", "DE-", "DE-BAYERN", "germany"]),
    ("genre", ["FBAN", "FXE", "YPCA21", "JBFK1"], ["FICTION", "podcast", "BA", "NEWS", "1KBB", "E", "fb", "FB FF"]),
    ("series", ["podcast:guid:9b024349-ccf0-5f69-a609-6b82873eab3c", "publisher:acme:blue-crimes"],
     ["podcast:guid:9b024349", "podcast:guid:9B024349-CCF0-5F69-A609-6B82873EAB3C", "publisher:acme", "acme"]),
    ("recipient", ["commercial-acme", "academic-uni-wien"], ["acme", "org:acme", "commercial-", "public-acme"]),
    ("role", ["E07", "guest"], ["E08", "narrator", "E7"]),
    ("medium", ["audiobook"], ["Audiobook", "book"]),
])  # fmt: skip
def test_terms_beyond_the_lists_are_known_by_their_form_and_others_are_not(name, known, unknown):
    facet = shipped().facet(name)
    assert [term for term in known if not facet.knows(term)] == []
    assert [term for term in unknown if facet.knows(term)] == []


@FACETS
def test_a_term_that_is_known_by_its_form_falls_under_a_listed_one_where_there_is_a_tree(name):
    facet = shipped().facet(name)
    examples = {"territory": "DE-BY", "genre": "FBAN", "recipient": "commercial-acme"}
    if name in examples:
        assert facet.covering(examples[name]) & set(facet.terms)


def test_every_listed_genre_stands_below_its_section_and_every_code_below_a_listed_second_level():
    facet = shipped().genre
    assert len([code for code in facet.terms if len(code) == 1]) == 20
    for code in facet.terms:
        assert len(code) == 1 or code[:-1] in facet.terms
    assert facet.covering("FBA") == {"FBA", "FB", "F", ANY}
    second = {code for code in facet.terms if len(code) == 2}
    assert {
        a + b for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if facet.knows(a + b)
    } == second


def test_what_is_published_reaches_everybody_and_a_named_company_is_of_its_kind():
    facet = shipped().recipient
    assert facet.covering("commercial-acme") == {"commercial-acme", "commercial", "third_party", "public", ANY}
    assert facet.meets("public", "commercial")
    assert not facet.meets("academic", "commercial")


def test_a_version_is_the_same_in_one_file_and_as_the_ledger_has_it(own, tmp_path):
    one = tmp_path / "one.json"
    one.write_text(shipped().model_dump_json())
    assert load(own) == load(one) == load("configs/vocabulary") == shipped()
    assert Vocabulary.model_validate_json(one.read_text()) == shipped()


def test_the_event_is_named_by_what_it_says():
    event = vocabulary_event(shipped(), NOW)
    assert event.event_id == vocabulary_event(load(SHIPPED), datetime.now(UTC)).event_id
    assert event.event_id != vocabulary_event(VOCABULARY, NOW).event_id
    assert event.vocabulary == shipped()


def test_a_ledger_gets_the_shipped_version_once(ledger):
    ledger.append([given(grant())])
    assert ensure(ledger) == 2
    assert ensure(ledger) is None
    assert [(position, version.version) for position, version in spoken(ledger)] == [(2, shipped().version)]


def test_a_ledger_that_has_a_vocabulary_keeps_it(ledger):
    ledger.append([vocabulary_event(VOCABULARY, NOW)])
    assert ensure(ledger) is None
    assert [version for _, version in spoken(ledger)] == [VOCABULARY]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "genre.yaml",
            "\nnarrower:",
            "\nnarower:",
            r"genre\.yaml: unknown key `narower` \(did you mean `narrower`\?\)",
        ),
        ("role.yaml", "broader: [performer]", "broader: [perfomer]", r"role\.yaml: .*not listed: perfomer"),
        (
            "role.yaml",
            "broader: [performer]",
            "braoder: [performer]",
            r"role\.yaml: unknown key .*did you mean `broader`",
        ),
        ("action.yaml", "  clone:", "  klone:", r"klone"),
        ("version.yaml", "\nversion:", "\nversoin:", r"version\.yaml: .*unknown key `versoin`"),
        ("medium.yaml", "  podcast:", "  podcast: {}\n  podcast:", r"medium\.yaml is not YAML: key `podcast` stands"),
        ("series.yaml", "source:", "- source:", r"series\.yaml is not YAML"),
    ],
)
def test_a_fault_is_told_with_its_file_and_key(own, file, old, new, said):
    path = own / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=said) as error:
        load(own)
    assert len(str(error.value)) < 600


def test_a_folder_with_other_files_or_without_one_is_no_vocabulary(own, tmp_path):
    (own / "genre.yaml").rename(own / "gener.yaml")
    with pytest.raises(ConfigError, match=r"gener\.yaml: `gener` is no facet \(did you mean `genre`\?\)"):
        load(own)
    (own / "gener.yaml").unlink()
    with pytest.raises(ConfigError, match=r"it has no genre\.yaml"):
        load(own)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "nowhere")


def test_what_yaml_would_take_for_something_else_stays_what_was_written(tmp_path):
    assert words_of("a: NO\nb: 2027-01-01\nc: 010\nd: [on, null]") == {
        "a": "NO", "b": "2027-01-01", "c": "010", "d": ["on", "null"],
    }  # fmt: skip
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_words(path)


@pytest.mark.parametrize("name", ["use.yaml", "use.json"])
def test_of_two_words_for_one_key_none_is_taken(tmp_path, name):
    (tmp_path / name).write_text('{"action": "clone", "action": "retain"}')
    with pytest.raises(ConfigError, match="key `action` stands there twice"):
        read_use(tmp_path / name)


def test_a_use_is_read_and_a_bare_date_is_the_beginning_of_its_day(tmp_path):
    found = read_use(written(tmp_path / "use.yaml", USE), shipped())
    assert (found.action, found.territory) == (Action.TRAIN_ASR, "NO")
    assert found.until == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"action": "trian_asr"}, "unknown action `trian_asr` (did you mean `train_asr`?)"),
        ({"action": "[train_asr, clone]"}, "`action` takes one word, got a list"),
        ({"until": "tomorrow"}, "`until`"),
        ({"until": "2027-01-01T00:00:00"}, "`until`"),
        ({"untill": "2027-01-01"}, "unknown key `untill` (did you mean `until`?)"),
        ({"medium": "podcasts"}, "knows no `podcasts` (near it: podcast"),
        ({"territory": "norway"}, "knows no `norway` (near it: NO"),
        ({"genre": "{FB: 1}"}, "`genre` takes one word, got keys and values"),
    ],
)
def test_a_wrong_use_is_told_with_the_key_and_what_is_near(tmp_path, changed, said):
    with pytest.raises(ConfigError) as error:
        read_use(written(tmp_path / "use.yaml", {**USE, **changed}), shipped())
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "use.yaml"))


def test_what_a_use_leaves_out_is_never_taken_for_any(tmp_path):
    partial = {key: value for key, value in USE.items() if key not in ("genre", "role")}
    with pytest.raises(ConfigError, match="`genre`, `role` missing; `any` asks for the whole breadth"):
        read_use(written(tmp_path / "use.yaml", partial))
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(ConfigError, match="expected the keys action, medium"):
        read_use(tmp_path / "empty.yaml")


def test_an_action_that_a_version_does_not_list_is_refused():
    few = VOCABULARY.model_copy(update={"actions": (Action.RETAIN,)})
    with pytest.raises(ConfigError, match="knows no `train_asr`"):
        check_terms(read_of({**USE, **dict.fromkeys(TERMS, ANY)}), few, "use.yaml")


def read_of(values):
    from schemas.consent import Use

    return Use.model_validate(values)


PAGE = SHIPPED.parents[1] / "docs" / "vocabulary.md"


def test_the_request_on_the_page_is_one_and_every_term_it_names_is_known(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "use.yaml").write_text(blocks[0])
    assert read_use(tmp_path / "use.yaml", shipped()).genre == "FBA"
    facet = Facet.model_validate(_spelt(words_of(blocks[1])))
    assert facet.covering("radio") == {"radio", "broadcast", ANY}


def _spelt(values):
    terms = {name: {"label": term} if isinstance(term, str) else term for name, term in values["terms"].items()}
    return {**values, "terms": terms}


def test_the_table_of_facets_on_the_page_names_terms_that_are_known():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name: re.findall(r"`([^`]+)`", terms) for name, terms in rows if name in TERMS}
    assert set(named) >= set(TERMS)
    for name, terms in named.items():
        assert [term for term in terms if "<" not in term and not shipped().facet(name).knows(term)] == []


def test_the_prohibitions_on_the_page_reach_what_it_says():
    assert shipped().genre.meets("FP", "F")
    assert shipped().territory.meets("EU", "EEA")
    assert shipped().territory.covering("DE-BY") >= {"DE", "EU", "EEA"}
