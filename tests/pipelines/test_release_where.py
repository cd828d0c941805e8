"""The condition of a release: about one row, the same whenever it is asked, told in a line where it is wrong."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.release.create import Wanted, preview
from pipelines.release.where import read_where
from pipelines.snapshot import take_snapshot
from schemas.errors import ConfigError
from tests.builders import Made, write_run
from tests.releases import ANY_USE, AT, crowd


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("where"), accents=["Scottish", None])


def left(made, where):
    chosen = preview(made.lake, Wanted("gold", ANY_USE, where, at=AT))
    return [chosen.after(n).utterances for n in range(chosen.last + 1)]


@pytest.mark.parametrize(
    ("where", "clauses", "counts"),
    [
        ("snr_db > 1", ["(snr_db > 1)"], [16, 8]),
        ("snr_db > 0 and snr_db < 3 and duration_s between 0.5 and 20", 3, [16, 12, 8, 8]),
        ("(snr_db > 0 and (snr_db < 3)) and true", 3, [16, 12, 8, 8]),
        ("snr_db > 2 or accent.label = 'Scottish'", 1, [16, 12]),
        ("accent.label = 'Scottish'", 1, [16, 8]),
        ("not (accent.label = 'Scottish')", 1, [16, 0]),
        ("accent.label is distinct from 'Scottish'", 1, [16, 8]),
        ("UTTERANCES.SNR_DB >= 3", 1, [16, 4]),
        ("c50_db > 3", 1, [16, 0]),
        ("text like 'said by 1%' -- a comment", 1, [16, 4]),
        ("len(consent) = 1 and consent[1].subject_id in ('p000', 'p001')", 2, [16, 16, 8]),
        ("list_any_value(list_transform(consent, lambda x: x.role)) = 'speaker'", 1, [16, 16]),
        ("lineage.run_id = 'first' and lineage.source_path like 'p00_/0.wav'", 2, [16, 16, 8]),
        ("try_cast(text as integer) is null", 1, [16, 16]),
        ("case when snr_db > 1 then accent.label is null else false end", 1, [16, 4]),
        (None, [], [16]),
    ],
)
def test_what_is_left_after_each_clause(made, where, clauses, counts):
    found = read_where(made.lake, where, {})
    assert list(found.clauses) == clauses if isinstance(clauses, list) else len(found.clauses) == clauses
    assert left(made, where) == counts


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("snr > 3", r"snr_db"),
        ("snr_db >", r"syntax error"),
        ("", r"it is empty"),
        (" \n ", r"it is empty"),
        ("snr_db", r"of type DOUBLE, and no condition"),
        ("'true'", r"no condition"),
        ("true) group by (1", r"more than one condition|syntax error"),
        ("true) from recordings where (true", r"more than one condition|syntax error"),
        ("true; drop table utterances", r"syntax error|more than one"),
        ("true, true", r"more than one condition|no condition"),
        ("key in (select key from recordings)", r"a subquery has no place"),
        ("exists (select 1 from read_csv('/etc/passwd'))", r"a subquery has no place"),
        ("row_number() over () < 3", r"a window function has no place"),
        ("count(*) > 3", r"aggregate"),
        ("snr_db > $1", r"a parameter has no place"),
        ("*", r"has no place"),
        ("now() > collected_at", r"now\(\) means something else each time"),
        ("current_date > '2026-01-01'", r"current_date\(\) means something else"),
        ("random() > 0.5", r"random\(\) means something else each time"),
        ("collected_at < CURRENT_TIMESTAMP", r"means something else each time"),
        ("collected_at < localtimestamp", r"means something else each time"),
        ("age(collected_at) > interval 1 year", r"age\(\) means something else each time"),
        ("getenv('HOME') = 'x'", r"getenv\(\) means something else each time"),
        ("snr_db > 'loud'", r"Could not convert|conversion"),
        ("text::integer > 3", r"Could not convert.*TRY_CAST"),
        ("run_number = 1", r"run_number"),
    ],
)
def test_what_is_no_condition_on_one_utterance(made, where, said):
    with pytest.raises(ConfigError, match=rf"(?is)^--where: .*({said})") as error:
        left(made, where)
    assert "\n" not in str(error.value)


def test_every_function_whose_answer_changes_is_refused(made):
    """DuckDB says of each function whether its answer changes; what depends on a clock or chance decides no row."""
    import duckdb

    with duckdb.connect() as connection:
        names = connection.execute(
            "select distinct function_name from duckdb_functions() where function_type = 'scalar' "
            "and stability <> 'CONSISTENT' and function_name ~ '^[a-z_0-9]+$'"
        ).fetchall()
    assert len(names) > 10
    for (name,) in names:
        with pytest.raises(ConfigError, match=r"^--where: "):
            read_where(made.lake, f"{name}() is not null", {})
        with pytest.raises(ConfigError, match=r"^--where: "):
            read_where(made.lake, f"{name}('snr_db') is not null", {})


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_column_of_ones_own_that_only_some_rows_have(tmp_path, is_merged):
    """Rows of units before the stage was there have no such column: it is null, and null matches nothing."""
    lake = crowd(tmp_path)
    (tmp_path / "later").mkdir()
    write_run(lake.lake, tmp_path / "later", [[Made("later.wav", {"p000": None}, 6)]], run_id="later", recipe="b")
    (path,) = (tmp_path / "lake" / "utterances").rglob("run=later/*.parquet")
    table = pq.read_table(path)
    own = pa.array([100.0 * n for n in range(table.num_rows)], pa.float64())
    pq.write_table(table.append_column("pitch_hz", own), path)
    if is_merged:
        take_snapshot(lake.lake)
    assert left(lake, "pitch_hz >= 200") == [22, 4]
    assert left(lake, "pitch_hz is null and snr_db is not null") == [22, 16, 16]
    assert left(lake, "coalesce(pitch_hz, 0) < 100") == [22, 17]
    with pytest.raises(ConfigError, match=r"pitch_hz"):
        left(lake, "pitch > 100")
