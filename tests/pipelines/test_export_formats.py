"""Each form of an export is read back by the library that it is for, to the last byte."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from glob import glob

import numpy as np
import pytest
import soundfile

from pipelines.export.record import Form
from pipelines.export.samples import consent_lineage
from tests.exports import export_to, release, sample, samples

SAMPLES = samples()
BY_KEY = {one.key: one for one in SAMPLES}


def lineage_of(key):
    return consent_lineage(BY_KEY[key], release(SAMPLES))


def sound_of(audio):
    return soundfile.read(io.BytesIO(audio), dtype="float32")[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of one export of SAMPLES per form."""
    folder = tmp_path_factory.mktemp("exports")
    for form in Form:
        export_to(folder / form.value, form, SAMPLES)
    return folder


# webdataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestWebDataset:
    def test_the_real_library_reads_every_byte(self, exported):
        import webdataset

        tars = sorted(glob(str(exported / "webdataset/shards/*.tar")))
        found = list(webdataset.WebDataset(tars, shardshuffle=False))
        assert [one["__key__"] for one in found] == [one.key for one in SAMPLES]
        for one in found:
            expected = BY_KEY[one["__key__"]]
            assert one["flac"] == expected.audio
            assert one.get("txt") == (None if expected.text is None else expected.text.encode())
            described = json.loads(one["json"])
            assert described.pop("consent_lineage") == lineage_of(expected.key)
            assert described == expected.row

    def test_it_is_read_where_unpickling_is_forbidden(self, exported):
        """WDS_SECURE is read when webdataset is imported."""
        script = (
            "import sys, webdataset\n"
            "data = webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode()\n"
            "print([(one['json']['key'], len(one['flac'])) for one in data])"
        )
        tars = sorted(glob(str(exported / "webdataset/shards/*.tar")))
        done = subprocess.run(
            [sys.executable, "-c", script, *tars],
            capture_output=True, text=True, check=True, env={"WDS_SECURE": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.stdout.strip() == str([(one.key, len(one.audio)) for one in SAMPLES])

    def test_shards_are_numbered_without_a_gap_and_none_is_empty(self, tmp_path):
        import webdataset

        many = [sample(n) for n in range(20)]
        record = export_to(tmp_path, Form.WEBDATASET, many, shard_bytes=60_000)
        shards = [one for one in record.files if one.kind == "shard"]
        assert len(shards) > 2
        assert all(one.rows for one in shards)
        prefix = shards[0].path.removesuffix("00000.tar")
        url = f"{tmp_path}/{prefix}{{00000..{len(shards) - 1:05d}}}.tar"
        assert [one["__key__"] for one in webdataset.WebDataset(url, shardshuffle=False)] == [one.key for one in many]


class TestLhotse:
    @pytest.fixture
    def cuts(self, exported):
        from lhotse import CutSet

        return CutSet.from_file(exported / "lhotse/cuts.jsonl.gz").with_recording_path_prefix(exported / "lhotse")

    def test_every_cut_has_the_sound_of_its_sample(self, cuts):
        from lhotse.qa import validate

        assert [cut.id for cut in cuts] == [one.key for one in SAMPLES]
        for cut in cuts:
            validate(cut)
            expected = sound_of(BY_KEY[cut.id].audio)
            assert cut.num_samples == len(expected)
            assert np.array_equal(cut.load_audio()[0], expected)

    def test_files_are_the_lake_s_bytes(self, cuts):
        for cut in cuts:
            with open(cut.recording.sources[0].source, "rb") as file:
                assert file.read() == BY_KEY[cut.id].audio

    def test_what_was_said_by_whom_and_with_whose_permission(self, cuts):
        for cut in cuts:
            row = BY_KEY[cut.id].row
            said = cut.supervisions[0]
            assert (said.text, said.language, said.gender) == (row["text"], row["language"], row["gender"])
            assert cut.custom["consent_lineage"] == lineage_of(cut.id)
            assert cut.snr_db == row["snr_db"]
            assert cut.loudest_word == "well"
        speakers = [cut.supervisions[0].speaker for cut in cuts]
        assert speakers[0] == "anna"
        assert speakers[4] == f"{SAMPLES[4].row['recording_id']}-spk00"

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Shar leaves its files open
    def test_they_can_be_made_into_tars_without_encoding_again(self, cuts, tmp_path):
        from lhotse import CutSet

        cuts.to_shar(tmp_path, fields={"recording": "original"}, shard_size=2)
        again = CutSet.from_shar(in_dir=tmp_path)
        assert [cut.id for cut in again] == [one.key for one in SAMPLES]
        for cut in again:
            assert np.array_equal(cut.load_audio()[0], sound_of(BY_KEY[cut.id].audio))
            assert cut.custom["consent_lineage"] == lineage_of(cut.id)


NEMO_READER = """
import importlib.util, json, sys, types
# NeMo's packages import all of NeMo; its reader needs only lhotse, so its packages are named without being run.
place = importlib.util.find_spec("nemo").submodule_search_locations[0]
for name in ("", ".collections", ".collections.common", ".collections.common.data", ".collections.common.data.lhotse",
             ".collections.common.parts", ".collections.common.parts.preprocessing"):
    module = types.ModuleType("nemo" + name)
    module.__path__ = [place + name.replace(".", "/")]
    sys.modules["nemo" + name] = module
from nemo.collections.common.data.lhotse import nemo_adapters
from lhotse import CutSet
# Braces in the manifest's own name; the function for it would import the rest of NeMo.
nemo_adapters.expand_sharded_filepaths = lambda path: [path]
for cut in CutSet(nemo_adapters.LazyNeMoIterator(sys.argv[1])):
    said = cut.supervisions[0]
    with open(cut.recording.sources[0].source, "rb") as file:
        audio = file.read().hex()
    print(json.dumps([audio, cut.load_audio()[0].tolist(), cut.sampling_rate, said.text, said.language, cut.custom]))
"""


class TestNemo:
    def test_nemo_s_own_reader_finds_sound_words_and_permission(self, exported):
        done = subprocess.run(
            [sys.executable, "-c", NEMO_READER, str(exported / "nemo/manifest.jsonl")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(found) == len(SAMPLES)
        for (audio, sound, rate, text, language, custom), expected in zip(found, SAMPLES, strict=True):
            assert bytes.fromhex(audio) == expected.audio
            assert np.array_equal(np.array(sound, dtype=np.float32), sound_of(expected.audio))
            assert (rate, text, language) == (16_000, expected.text, expected.row["language"])
            assert custom["key"] == expected.key
            assert custom["consent_lineage"] == lineage_of(expected.key)
            assert custom["loudest_word"] == "well"

    def test_lines_hold_what_nemo_s_documentation_asks_for(self, exported):
        lines = (exported / "nemo/manifest.jsonl").read_text().splitlines()
        for line, expected in zip(map(json.loads, lines), SAMPLES, strict=True):
            assert (exported / "nemo" / line["audio_filepath"]).read_bytes() == expected.audio
            assert line["duration"] == len(sound_of(expected.audio)) / 16_000
            assert line.get("text") == expected.text
            assert "offset" not in line

    def test_a_column_of_one_s_own_cannot_pass_for_a_word_of_nemo_s(self, tmp_path):
        export_to(tmp_path, Form.NEMO, [sample(0, duration=99.0, _skipme=True)])
        line = json.loads((tmp_path / "manifest.jsonl").read_text())
        assert line["duration"] == 0.5
        assert (line["own_duration"], line["own__skipme"]) == (99.0, True)
        assert "_skipme" not in line

    def test_our_own_catalogue_reads_it(self, exported):
        from pipelines.manifest_nemo import nemo_rows

        rows = [values for _, values in nemo_rows(str(exported / "nemo/manifest.jsonl"))]
        assert len(rows) == len(SAMPLES)


class TestHuggingFace:
    @pytest.fixture
    def load(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        import datasets

        datasets.disable_progress_bars()
        return lambda *args, **options: datasets.load_dataset(*args, split="train", cache_dir=str(tmp_path), **options)

    def test_the_real_library_gives_an_audio_column_with_the_lake_s_bytes(self, load, exported):
        import datasets

        files = sorted(glob(str(exported / "huggingface/data/*.parquet")))
        found = load("parquet", data_files=files)
        assert found.features["audio"] == datasets.Audio()
        assert found.features["snr_db"] == datasets.Value("float64")
        for one in found.cast_column("audio", datasets.Audio(decode=False)):
            expected = BY_KEY[one["key"]]
            assert one["audio"] == {"bytes": expected.audio, "path": f"{expected.key}.flac"}
            assert one["text"] == expected.text
            permission = {**one["consent_lineage"], "allowed_until": expected.allowed_until}
            assert one["consent_lineage"]["allowed_until"] == expected.allowed_until
            assert permission == {**lineage_of(expected.key), "allowed_until": expected.allowed_until}
            assert json.loads(one["extra"]) == expected.row["extra"]
            assert json.loads(one["lineage"]["models"]) == {"silero_vad": "6.2.3"}
            assert json.loads(one["own_columns"]) == {"loudest_word": "well"}

    def test_the_folder_opens_by_its_card_and_streams(self, load, exported):
        folder = str(exported / "huggingface")
        assert load(folder)["key"][:] == [one.key for one in SAMPLES]
        streamed = load(folder, streaming=True)
        assert [one["key"] for one in streamed.select_columns(["key"])] == [one.key for one in SAMPLES]

    def test_shards_are_closed_when_they_are_full(self, load, tmp_path):
        many = [sample(n) for n in range(2100)]
        record = export_to(tmp_path / "out", Form.HUGGINGFACE, many, shard_bytes=1)
        shards = [one for one in record.files if one.kind == "data"]
        assert [one.rows for one in shards] == [1000, 1000, 100]
        assert load(str(tmp_path / "out"))["key"][:] == [one.key for one in many]
