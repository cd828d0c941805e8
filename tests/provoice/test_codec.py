"""An utterance's file format is a key of the configuration: what comes out opens whatever it is."""

from __future__ import annotations

import io
import json

import pytest
import soundfile

from lake.lake import Lake
from provoice.sql import connect, records
from tests.speech import conversation, write


@pytest.mark.parametrize("codec", ["flac", "wav"])
def test_members_lie_where_their_rows_say(codec, tmp_path, provoice):
    write(tmp_path / "recordings" / "talk.wav", conversation()[: 16_000 * 15])
    (tmp_path / "catalogue.csv").write_text("path,text\ntalk.wav,what was said\n", encoding="utf-8")
    done = provoice(
        "run", "configs/explore.yaml", "--source", tmp_path / "recordings", "--lake", tmp_path / "lake",
        "--catalogue", tmp_path / "catalogue.csv", "--set", f"output.codec={codec}", "--set", "diarize.backend=single",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lake = Lake.open(str(tmp_path / "lake"))
    with connect(lake, "utterances") as connection:
        rows = records(connection, "select * from utterances")
    assert rows
    for row in rows:
        read = {
            name: lake.root.read(row["shard"], row[f"{name}_offset"], row[f"{name}_offset"] + row[f"{name}_size"])
            for name in ("audio", "json")
        }
        samples, _ = soundfile.read(io.BytesIO(read["audio"]))
        assert soundfile.info(io.BytesIO(read["audio"])).format == codec.upper()
        assert len(samples) == row["end_sample"] - row["start_sample"]
        assert json.loads(read["json"])["key"] == row["key"]
