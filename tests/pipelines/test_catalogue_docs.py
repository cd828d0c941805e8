"""docs/catalogue.md explains every column, and its example is a catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.catalogue import load_catalogue
from pipelines.catalogue_rows import COLUMNS
from schemas.catalogue import Role
from tests.pipelines.tables import csv_file

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "catalogue.md").read_text(encoding="utf-8")


def test_every_column_and_role_is_explained_and_no_other():
    table = PAGE.split("## Columns", 1)[1].split("###", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(COLUMNS)
    assert [role for role in Role if f"`{role}`" not in PAGE] == []


def test_the_example_is_a_catalogue(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "0412.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nGood morning.\n", encoding="utf-8")
    example = PAGE.split("```csv\n", 1)[1].split("```", 1)[0]
    catalogue = load_catalogue(csv_file(tmp_path, example))
    row = catalogue.row_for("r", "interviews/0412.wav")
    assert {subject.subject_id: subject.channel for subject in row.subjects} == {"s-1041": 0, "s-0007": 1}
    assert [piece.text for piece in row.text_spans] == ["Good morning."]
    assert catalogue.row_for("r", "interviews/0413.wav").subjects[1].role is Role.BACKGROUND
    assert catalogue.row_for("r", "narrators/s-2210/x.wav").language == "de"
