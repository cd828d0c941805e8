"""The report: right figures, one file, nobody's name in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.lake import Lake
from lake.runs import find_run
from provoice.report.figures import gather
from provoice.report.histogram import Histogram, histogram, nice
from provoice.report.html import number
from provoice.sql import connect
from schemas.tables import MEASUREMENTS
from tests.builders import ANNA, Made, small_lake, write_run


def figures(lake, run_id=None):
    with connect(lake) as connection:
        return gather(connection, run_id)


def shown(bars):
    return {bar.label: bar.value for bar in bars}


def test_figures_are_those_of_the_current_rows(lake):
    f = figures(lake.lake)
    assert shown(f.statuses) == {"emitted": 5, "held": 3, "rejected": 2}
    assert shown(f.rejected) == {"silent": 1, "unreadable": 1}
    assert shown(f.held) == {"extra_voice": 1, "no_grant": 1, "withdrawn": 1}
    assert f.totals["sources"] == 10
    assert f.totals["utterances"] == 5
    assert f.totals["people"] == 2
    assert shown(f.flow) == {
        "audio decoded": 10.0, "of it in emitted sources": 10.0, "speech heard": 5.0, "utterances out": 5.0,
    }  # fmt: skip
    assert shown(f.accents) == {"no accent known": 4.0, "Irish (predicted)": 1.0}
    assert shown(f.consent) == {"everybody heard is listed": 4.0, "nobody is listed": 1.0}
    assert shown(f.bindings) == {"sole": 3.0, "recording": 1.0}
    assert shown(f.grants) == {"valid for more than a year": 2, "expired": 1, "withdrawn": 1}
    assert f.ledger_position == 5
    assert all(bar.note for bar in (*f.rejected, *f.held))


def test_figures_of_one_run_are_its_own_rows_superseded_or_not(lake):
    f = figures(lake.lake, "first")
    assert shown(f.statuses) == {"emitted": 4, "rejected": 3, "held": 2}
    assert shown(f.cuts_rejected) == {"too_short": 3}
    assert shown(f.accents) == {"no accent known": 3.0, "Scottish (declared)": 2.0, "Irish (predicted)": 1.0}
    assert shown(f.languages) == {"not stated": 4.0, "en-GB": 2.0}
    assert [run["run_id"] for run in f.runs] == ["first"]
    # 2 units, each 0.02 s of decoding, for 11 s of audio
    assert shown(f.stages)["decode"] == pytest.approx(0.04 * 3600 / 11)
    assert f.times_real_time == pytest.approx(11 / 0.06, abs=0.1)


def test_runs_say_what_each_committed(lake):
    rows = {run["run_id"]: run for run in figures(lake.lake).runs}
    assert (rows["first"]["committed"], rows["first"]["units"], rows["first"]["rejected"]) == (2, 2, 3)
    assert (rows["look"]["committed"], rows["look"]["units"], rows["look"]["is_explore"]) == (1, 2, True)


def test_every_measurement_is_drawn_or_said_to_be_missing(lake):
    found = {h.name: h for h in figures(lake.lake).histograms}
    assert list(found) == ["duration_s", *MEASUREMENTS]
    assert (found["snr_db"].measured, found["snr_db"].missing, found["snr_db"].median) == (4, 1, 20.0)
    assert found["hum_db"].measured == 0
    assert found["hum_db"].median is None
    assert found["loudness_lufs"].unit == "LUFS"


# --- histograms -------------------------------------------------------------------------------------------------------

VALUES = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)) | st.none(), min_size=1, max_size=300
)


@pytest.fixture(scope="module")
def drawn():
    """The histogram of some values."""
    with duckdb.connect() as connection:

        def records(query):
            answer = connection.execute(query)
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

        def draw(values):
            connection.execute("create or replace table t as select unnest(?::double[]) as x_db", [values])
            return histogram(records, "t", "x_db", "made")

        yield draw


@given(values=VALUES)
def test_a_histogram_counts_every_value_once(values, drawn):
    h = drawn(values)
    measured = [value for value in values if value is not None]
    assert (h.measured, h.missing) == (len(measured), len(values) - len(measured))
    if len(set(measured)) > 1:
        assert sum(h.counts) + h.below + h.above == len(measured)
        assert h.median == pytest.approx(np.median(measured))
        if len(measured) < 200:
            assert h.low <= min(measured)
            assert h.high >= max(measured) * (1 - 1e-9 * np.sign(max(measured)))
            assert (h.below, h.above) == (0, 0)
    else:
        assert h.counts == ()


def test_bins_have_round_edges_and_hold_what_lies_between(drawn):
    h = drawn([*range(100), 100.0])
    assert (h.low, h.width, h.high) == (0.0, 5.0, 100.0)
    assert h.counts == (5,) * 19 + (6,)
    assert h.ticks == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert h.place(h.median) == 50.0


def test_far_values_are_counted_in_words_and_not_drawn(drawn):
    h = drawn([*np.linspace(20.0, 30.0, 1000).tolist(), -900.0, 800.0, 801.0])
    assert (h.below, h.above) == (1, 2)
    assert 19 <= h.low < h.high <= 31
    assert sum(h.counts) == 1000


def test_one_value_over_and_over_with_a_few_others_is_still_drawn(drawn):
    h = drawn([0.0] * 1000 + [0.5])
    assert sum(h.counts) == 1001
    assert h.counts[0] == 1000


def test_widths_are_round():
    assert [nice(size) for size in (1.0, 1.1, 2.1, 2.6, 5.1, 0.011, 4300.0)] == [1, 2, 2.5, 5, 10, 0.02, 5000]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-1e-5, "−0.00001"), (0.5, "0.5"), (28.456, "28.5"), (123456.0, "123,456"), (1e-9, "1.0e−09")],
)
def test_numbers_are_written_for_people(value, text):
    assert number(value) == text


def test_ticks_lie_within_the_axis():
    h = Histogram("x", "", "", 1, 0, median=0.0, low=-0.3, width=0.05, counts=(1,) * 13)
    assert h.ticks == pytest.approx((-0.2, 0.0, 0.2))


# --- the page ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that tags close in order; collects text, and addresses that a browser would fetch."""

    VOID = ("meta", "rect", "line", "br", "wbr", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.fetched = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def page(provoice, lake, tmp_path):
    written = tmp_path / "deep" / "report.html"
    done = provoice("report", lake.uri, "-o", written)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(written)
    return written.read_text()


def test_the_page_is_whole_and_fetches_nothing(page):
    parsed = Page(page)
    assert parsed.fetched == []
    assert not re.search(r"url\(|@import|<script", page)
    text = " ".join(" ".join(parsed.text).split())
    assert "current rows of every run" in text
    for name in MEASUREMENTS:
        assert name in text


def test_nobody_is_named_and_no_source_either(page):
    for name in ("anna", "ben", "carol", "dora", "erik", "g-anna", "g-dora", "good morning"):
        assert not re.search(rf"\b{name}\b", page)


def test_the_report_lies_in_the_lake_beside_its_run_and_is_named_by_it(provoice, tmp_path):
    made = small_lake(tmp_path)
    printed = provoice("report", made.uri, "--run", "second").stdout.strip()
    run = find_run(made.lake, "second")
    assert run.generation == 1
    assert printed == made.lake.root.uri_of(run.report)
    assert re.fullmatch(r"runs/000002/report-[0-9a-f]{16}\.html", run.report)
    assert "run second" in made.lake.root.read(run.report).decode()
    # Asked again on the same day, it is the same object, and the run needs no new generation.
    assert provoice("report", made.uri, "--run", "second").stdout.strip() == printed
    assert find_run(made.lake, "second").generation == 1


def test_without_a_run_there_is_nothing_to_report(provoice, tmp_path, lake):
    empty = Lake.create_or_open(str(tmp_path / "lake"))
    assert provoice("report", empty.root.uri).exit_code == 2
    unknown = provoice("report", lake.uri, "--run", "nope")
    assert unknown.exit_code == 2
    assert "first, second, look" in unknown.stderr
    assert provoice("report", lake.uri, "-o", "/proc/no/report.html").exit_code == 2


def test_a_lake_with_nothing_emitted_is_reported(provoice, tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    from schemas.consent import DenyReason

    write_run(lake, tmp_path, [[Made("x.wav", {"anna": None}, reason=DenyReason.NO_GRANT)]], run_id="held")
    written = tmp_path / "r.html"
    assert provoice("report", lake.root.uri, "-o", written).exit_code == 0
    Page(written.read_text())


def test_what_catalogues_say_is_escaped(provoice, tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[Made("x.wav", ANNA.people, 1, language="<script>alert(1)</script>")]], run_id="r")
    written = tmp_path / "r.html"
    provoice("report", lake.root.uri, "-o", written)
    assert "<script" not in written.read_text()
    assert "&lt;script&gt;" in written.read_text()


def test_columns_of_ones_own_stage_are_drawn(lake):
    with connect(lake.lake) as connection:
        # Tables before the views of the same name, as if a part had brought one column more.
        for view in ("utterances", "utterances_all"):
            connection.execute(f"create temp table {view} as select *, 2.5::double as words_per_s from main.{view}")
        own = gather(connection).histograms[-1]
    assert (own.name, own.median, own.measured) == ("words_per_s", 2.5, 5)
    assert own.description == "of a stage of your own"
