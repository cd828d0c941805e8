"""Random ledgers, records and requests: small enough that rules, endings and scopes meet often."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from schemas.consent import ANY, TERMS, DataScope, Grant, RecordingRef
from schemas.ledger import Event, EventType
from schemas.vocabulary import Facet, Term, Vocabulary
from tests.consents import NOW, VOCABULARY, ended, given, grant, record, rule, spoken, use

WORDS = ("x", "xa", "xab", "xabc", "xb", "y", "unknown", ANY)
DEEP = Vocabulary(
    version="deep",
    **dict.fromkeys(
        TERMS,
        Facet(
            source="s",
            narrower="prefix",
            pattern="x[a-c]{1,3}",
            terms={"x": Term(), "xa": Term(), "xb": Term(broader=("y",)), "y": Term()},
        ),
    ),
)
PEOPLE = ("anna", "bert")
DAY = timedelta(days=1)
INSTANTS = st.integers(-2, 3).map(lambda n: NOW + n * DAY)
NAMED = st.one_of(
    st.just((ANY,)),
    st.just(("x", "y")),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map(tuple),
)
RULES = st.builds(
    rule,
    st.sampled_from(("permit", "permit", "prohibit")),
    st.sampled_from((("any",), ("train_asr",), ("clone", "train_asr"), ("clone",))),
    genre=NAMED,
    territory=NAMED,
    durable_until=st.one_of(st.none(), INSTANTS),
)
SCOPES = st.sampled_from(
    (
        DataScope(kind="all"),
        DataScope(kind="all"),
        DataScope(kind="recordings", recordings=(RecordingRef(root="r", path="p.wav"),)),
        DataScope(kind="recordings", recordings=(RecordingRef(root="r", path="q.wav"),)),
        DataScope(kind="collected", collected_from=NOW - DAY, collected_until=NOW),
    )
)


@st.composite
def ledgers(draw) -> list[Event]:
    """Grants of two people, endings before and after them, changed catalogue rows and a vocabulary, in any order."""
    events = []
    for n in range(draw(st.integers(1, 4))):
        begin = draw(st.sampled_from((NOW - 2 * DAY, NOW - DAY, NOW, NOW + DAY)))
        made: Grant = grant(
            draw(st.sampled_from(PEOPLE)), f"g{n}", draw(st.lists(RULES, min_size=1, max_size=2)),
            scope=draw(SCOPES), valid_from=begin, valid_until=begin + DAY * draw(st.sampled_from((1, 2, 9, 9))),
        )  # fmt: skip
        events.append(given(made))
    how = (EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED)
    for n in range(draw(st.sampled_from((0, 0, 1, 2)))):
        whose, of = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from((None, "g0", "g1")))
        events.append(ended(whose, of, draw(st.sampled_from(how)), name=f"e{draw(st.sampled_from((n, 0)))}"))
    if draw(st.sampled_from((True, False, False, False))):
        changed = {
            "source_root": "r",
            "source_path": "p.wav",
            "catalogue_row_sha256": draw(st.sampled_from((None, "s"))),
        }
        events.append(Event(event_id="c", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, **changed))
    events = draw(st.permutations(events))
    vocabulary = draw(st.sampled_from((None, VOCABULARY, DEEP, DEEP)))
    return [*([spoken(vocabulary)] if vocabulary else []), *events]


RECORDS = st.builds(
    lambda people, complete, when, grants: record(*people, complete=complete, collected_at=when, grant_ids=grants),
    st.sampled_from((("anna",), ("anna",), ("bert",), ("bert", "anna"), ())),
    st.sampled_from((True, True, True, True, False)),
    st.one_of(st.none(), st.just(NOW - DAY), st.just(NOW)),
    st.sampled_from(((), (), ("g0",), ("g0", "g2", "gx"))),
)
USES = st.builds(
    lambda genre, territory, until: use(
        **{**dict.fromkeys(TERMS, ANY), "genre": genre, "territory": territory}, until=until
    ),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from((NOW, NOW + DAY, NOW + 3 * DAY, NOW - DAY)),
)
CASES = {"events": ledgers(), "of": RECORDS, "asked": USES, "at": st.sampled_from((NOW, NOW, NOW - DAY, NOW + DAY))}
