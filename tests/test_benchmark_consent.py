"""The benchmark of deciding decides what `decide` decides, on the files and the ledger that it makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import agreement, consent_lake, decide
from lake.projection_rows import events_of
from schemas.consent import ConsentRecord
from transforms import consent
from transforms.consent_table import tables_of

ROWS = 20_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent_lake, "CACHE", folder)
        patch.setattr(consent_lake, "ROWS_PER_FILE", 8_000)
        return consent_lake.folder(ROWS)


def record_of(row):
    lineage = row["lineage"]
    return ConsentRecord(
        tuple(link["subject_id"] for link in row["consent"]), row["consent_complete"], lineage["source_root"],
        lineage["source_path"], row["collected_at"], tuple(row["grant_ids"]), lineage["catalogue_row_sha256"],
    )  # fmt: skip


def test_what_is_measured_is_right(made):
    files, events = sorted(made.glob("utterances-*.parquet")), pq.read_table(made / "events.parquet")
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=consent_lake.AT)
    clock = decide.Clock()
    found = decide.decide_files(files, tables_of(events, events.num_rows), at, 2, clock)
    state = consent.fold(events_of(events))
    rows = pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()[:: ROWS // 1_000]
    by_decide = [consent.decide(record_of(row), consent_lake.USE, state, at).is_allowed for row in rows]
    assert found["allowed"][:: ROWS // 1_000].tolist() == by_decide
    assert 0.3 < sum(by_decide) / len(by_decide) < 0.9
    assert set(clock.steps) == {"- ask the grants", "- read, find runs, decide, expand", "decide, end to end"}


def test_the_consent_column_is_small(made):
    assert decide.bytes_per_row(sorted(made.glob("utterances-*.parquet")))["consent"] <= 5


def test_cases_are_counted_and_disagreements_told(monkeypatch, capsys):
    assert agreement.disagreeing(range(2)) == (400, [])
    monkeypatch.setattr("sys.argv", ["agreement", "--cases", "300", "--processes", "1"])
    assert agreement.main() == 0
    assert capsys.readouterr().out.startswith("400 cases, 0 disagreements, ")
