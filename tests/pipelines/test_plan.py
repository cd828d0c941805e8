"""Units: which sources stand together, in what order, and what is left out."""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalogue import load_catalogue
from pipelines.plan import PlanConfig, Unit, plan_sources, write_plan
from pipelines.sources import SourceRoot, SourcesConfig
from schemas import ids
from schemas.errors import ConfigError
from schemas.model import parse
from schemas.source import Source
from schemas.tables import PLAN_SCHEMA
from tests.pipelines.tables import catalogue_of, jsonl_file

HOUR_OF_MP3 = 3600 * 16_000


def mp3(n, size=HOUR_OF_MP3, *, root="r", version="v"):
    return Source(root, f"folder/{n:05d}.mp3", version, size)


def planned(tmp_path, sources, catalogue=None, *, done=None, name="plan.parquet", **config):
    """The summary and the units of a plan."""
    path = tmp_path / name
    summary = plan_sources(sources, catalogue, PlanConfig(**config), path, done=done)
    return summary, units_of(path)


def units_of(path):
    table = pq.read_table(path)
    assert table.schema.equals(PLAN_SCHEMA, check_metadata=True)
    indexes = table["unit_index"].to_pylist()
    assert indexes == sorted(indexes)
    return [Unit.from_table(table.filter(pa.compute.equal(table["unit_index"], n))) for n in sorted(set(indexes))]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def paths(units):
    return [planned.source.path for unit in units for planned in unit.sources]


def test_a_unit_holds_so_many_seconds_of_audio(tmp_path):
    summary, units = planned(tmp_path, [mp3(n) for n in range(10)], units_at_least=1, unit_audio_s=3 * 3600)
    assert [len(unit.sources) for unit in units] == [3, 3, 3, 1]
    assert [unit.estimated_s for unit in units] == [10_800, 10_800, 10_800, 3600]
    assert (summary.units, summary.sources, summary.estimated_s, summary.size_bytes) == (
        4, 10, 36_000.0, 10 * HOUR_OF_MP3,
    )  # fmt: skip
    assert (summary.longest_unit_s, summary.listed, summary.done, summary.without_row) == (10_800.0, 10, 0, 10)


def test_a_unit_holds_so_many_sources_and_bytes_at_most(tmp_path):
    sources = [mp3(n, 16_000) for n in range(10)]
    assert [len(u.sources) for u in planned(tmp_path, sources, unit_max_sources=4)[1]] == [4, 4, 2]
    assert [len(u.sources) for u in planned(tmp_path, sources, unit_max_bytes=50_000)[1]] == [3, 3, 3, 1]


def test_a_source_larger_than_a_unit_is_a_unit(tmp_path):
    sources = [mp3(0, 100), mp3(1, 10**12), mp3(2, 100)]
    assert [len(unit.sources) for unit in planned(tmp_path, sources)[1]] == [1, 1, 1]


def test_a_small_plan_still_has_units_for_many_workers(tmp_path):
    _, units = planned(tmp_path, [mp3(n, 600 * 16_000) for n in range(100)])
    assert len(units) == 100
    _, units = planned(tmp_path, [mp3(n, 2 * 16_000) for n in range(600)])
    assert [unit.estimated_s for unit in units] == [120.0] * 10  # never shorter than unit_min_audio_s


def test_a_unit_is_named_by_its_place_and_its_recordings(tmp_path):
    _, units = planned(tmp_path, [mp3(n) for n in range(3)])
    for index, unit in enumerate(units):
        names = [planned.source.recording_id for planned in unit.sources]
        assert (unit.index, unit.unit_id) == (index, ids.unit_id(index, names))


def test_deadlines_grow_with_length(tmp_path):
    sources = [mp3(0, 16_000), mp3(1, 100 * HOUR_OF_MP3)]
    summary, units = planned(tmp_path, sources, deadline_base_s=100, deadline_s_per_audio_s=0.5)
    assert [unit.deadline_s for unit in units] == [100.0, 100.0 + 0.5 * 360_000]
    assert summary.longest_deadline_s == 180_100.0


def test_estimates_go_by_extension_and_can_be_set(tmp_path):
    sources = [Source("r", "a.WAV", "1", 64_000), Source("r", "b.opus", "1", 64_000), Source("r", "c", "1", 64_000)]
    _, (unit,) = planned(tmp_path, sources)
    assert [planned.estimated_s for planned in unit.sources] == [1.0, 16.0, 4.0]
    _, (unit,) = planned(tmp_path, sources, bytes_per_s={"wav": 16_000})
    assert [planned.estimated_s for planned in unit.sources] == [4.0, 16.0, 4.0]


def test_one_person_lies_in_few_units(tmp_path):
    rows = [{"path": f"folder/{n:05d}.mp3", "subject": f"p{n % 20}", "complete": True} for n in range(400)]
    catalogue = load_catalogue(jsonl_file(tmp_path, rows))
    _, units = planned(tmp_path, [mp3(n) for n in range(400)], catalogue, units_at_least=40)
    homes = {}
    for unit in units:
        for source in unit.sources:
            homes.setdefault(source.catalogue.subjects[0].subject_id, set()).add(unit.index)
    assert len(units) == 40
    assert max(len(indexes) for indexes in homes.values()) <= 3  # 20 hours each in units of 10


def test_people_of_one_bucket_are_not_mixed(tmp_path):
    rows = [{"path": f"folder/{n:05d}.mp3", "subject": f"p{n % 3}"} for n in range(9)]
    _, units = planned(
        tmp_path, [mp3(n) for n in range(9)], load_catalogue(jsonl_file(tmp_path, rows)), subject_buckets=1
    )
    people = [source.catalogue.subjects[0].subject_id for unit in units for source in unit.sources]
    assert people == sorted(people)


def test_sources_of_nobody_that_is_named_stand_in_order_of_their_paths(tmp_path):
    sources = [Source(root, path, "v", 1) for root in "ba" for path in ("z.wav", "a/b.wav", "a.wav")]
    _, (unit,) = planned(tmp_path, sources)
    assert [(p.source.root, p.source.path) for p in unit.sources] == [
        (root, path) for root in "ab" for path in ("a.wav", "a/b.wav", "z.wav")
    ]


def test_the_catalogue_row_travels_with_its_digest(tmp_path):
    catalogue = catalogue_of(
        tmp_path, "path,subjects,complete,extra.show\nfolder/00000.mp3,a;b,true,x\nq.mp3,c,true,y\n"
    )
    summary, (unit,) = planned(tmp_path, [mp3(0, 10), mp3(1, 10)], catalogue)
    row = catalogue.row_for("r", "folder/00000.mp3")
    by_path = {p.source.path: p for p in unit.sources}
    assert by_path["folder/00000.mp3"].catalogue == row
    assert by_path["folder/00000.mp3"].catalogue_row_sha256 == row.sha256
    assert (by_path["folder/00001.mp3"].catalogue, by_path["folder/00001.mp3"].catalogue_row_sha256) == (None, None)
    assert (summary.without_row, summary.unmatched_rows) == (1, 1)
    assert summary.unmatched_examples == (f"{catalogue.uri}, line 3: q.mp3",)


def done_of(sources, digests=None):
    columns = {"recording_id": [source.recording_id for source in sources]}
    return pa.table(columns | ({"catalogue_row_sha256": pa.array(digests, pa.string())} if digests else {}))


@pytest.mark.parametrize("as_file", [False, True])
def test_what_is_done_is_left_out(tmp_path, as_file):
    sources = [mp3(n) for n in range(10)]
    done = done_of(sources[:7])
    if as_file:
        pq.write_table(done, tmp_path / "done.parquet")
        done = tmp_path / "done.parquet"
    summary, units = planned(tmp_path, sources, done=done)
    assert sorted(paths(units)) == [source.path for source in sources[7:]]
    assert (summary.listed, summary.sources, summary.done, summary.catalogue_changed) == (10, 3, 7, 0)
    assert summary.estimated_s == 3 * 3600


def test_a_new_version_of_a_path_is_another_recording(tmp_path):
    summary, _ = planned(tmp_path, [mp3(0, version="v2"), mp3(1)], done=done_of([mp3(0, version="v1"), mp3(1)]))
    assert (summary.sources, summary.done) == (1, 1)


def test_a_source_whose_catalogue_row_has_changed_is_planned_again(tmp_path):
    sources = [mp3(n) for n in range(4)]
    catalogue = catalogue_of(tmp_path, "path,subject\nfolder/00000.mp3,a\nfolder/00001.mp3,b\nfolder/00002.mp3,c\n")
    same = catalogue.entry_for("r", sources[0].path).sha256
    # 0: as before, 1: another row, 2: had none, 3: had one and has none now.
    summary, units = planned(tmp_path, sources, catalogue, done=done_of(sources, [same, "f" * 64, None, "f" * 64]))
    assert sorted(paths(units)) == [source.path for source in sources[1:]]
    assert (summary.done, summary.catalogue_changed) == (1, 3)


def test_a_plan_of_nothing_is_a_plan(tmp_path):
    summary, units = planned(tmp_path, [])
    assert (summary.units, summary.sources, units) == (0, 0, [])
    summary, units = planned(tmp_path, [mp3(0)], done=done_of([mp3(0)]))
    assert (summary.units, summary.done, units) == (0, 1, [])


def test_a_source_that_is_listed_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"source 'folder/00001.mp3' is listed twice in root r"):
        planned(tmp_path, [mp3(1), mp3(2), mp3(1, version="w")])


def test_a_row_group_holds_whole_units(tmp_path):
    sources = [mp3(n, 16_000 * 40) for n in range(9_000)]
    planned(tmp_path, sources, units_at_least=3000)
    file = pq.ParquetFile(tmp_path / "plan.parquet")
    groups = [set(file.read_row_group(n, ["unit_index"])["unit_index"].to_pylist()) for n in range(file.num_row_groups)]
    assert len(groups) > 1
    assert sum(len(group) for group in groups) == len(set.union(*groups))
    statistics = file.metadata.row_group(1).column(0).statistics
    assert (statistics.min, statistics.max) == (min(groups[1]), max(groups[1]))


def test_transcripts_do_not_make_row_groups_that_no_worker_could_hold(tmp_path):
    rows = [{"path": f"folder/{n:05d}.mp3", "subject": "a", "text": f"{n} " + "word " * 20_000} for n in range(200)]
    catalogue = load_catalogue(jsonl_file(tmp_path, rows))
    planned(tmp_path, [mp3(n, 16_000 * 200) for n in range(200)], catalogue, units_at_least=200)
    file = pq.ParquetFile(tmp_path / "plan.parquet")
    assert file.num_row_groups >= 2
    assert max(file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)) <= 90  # 8 MiB of 100 kB


def test_a_table_of_two_units_is_no_unit(tmp_path):
    planned(tmp_path, [mp3(0), mp3(1)])
    with pytest.raises(ValueError, match=r"plan rows of one unit are needed, not of 2"):
        Unit.from_table(pq.read_table(tmp_path / "plan.parquet"))


def test_listing_is_reported(tmp_path):
    seen = []
    plan_sources((mp3(n) for n in range(45_000)), None, PlanConfig(), tmp_path / "p.parquet", on_listing=seen.append)
    assert seen == [20_000, 40_000, 45_000]


def test_nothing_is_left_beside_the_plan(tmp_path):
    planned(tmp_path, [mp3(0)])
    assert [path.name for path in tmp_path.iterdir()] == ["plan.parquet"]


@pytest.mark.parametrize("rates", [{"wav": 0}, {".wav": 1}, {"WAV": 1}])
def test_rates_that_cannot_be_meant_are_refused(rates):
    with pytest.raises(ConfigError, match=r"bytes_per_s"):
        parse(PlanConfig, {"bytes_per_s": rates}, "x.yaml")


# --- from roots to a plan ---


def folder_of(tmp_path, name, *files):
    folder = tmp_path / name
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x" * 100)
    return folder


def test_roots_are_listed_and_everything_is_accounted_for(tmp_path):
    one = folder_of(tmp_path, "one", "a.wav", "b/c.mp3", "b/c.txt", ".hidden.wav", "lake/x.wav")
    two = folder_of(tmp_path, "two", "a.wav")
    roots = [SourceRoot("one", str(one)), SourceRoot("two", str(two))]
    rows = [{"root": "one", "path": "a.wav", "subject": "anna"}, {"path": str(two / "a.wav"), "subject": "ben"}]
    summary = write_plan(
        roots,
        load_catalogue(jsonl_file(tmp_path, rows)),
        SourcesConfig(),
        PlanConfig(),
        tmp_path / "plan.parquet",
        outside=str(one / "lake"),
    )
    (unit,) = units_of(tmp_path / "plan.parquet")
    people = {(p.source.root, p.source.path): p.catalogue and p.catalogue.subjects[0].subject_id for p in unit.sources}
    assert people == {("one", "a.wav"): "anna", ("two", "a.wav"): "ben", ("one", "b/c.mp3"): None}
    assert (summary.sources, summary.ignored, summary.unmatched_rows) == (3, 3, 0)
    assert summary.ignored_by_cause == {"hidden": 1, "lake": 1, "not_included": 1}
    assert json.loads(json.dumps(asdict(summary)))["ignored_examples"]["not_included"] == ["b/c.txt"]


def test_two_roots_of_one_name_are_refused(tmp_path):
    roots = [SourceRoot("r", str(tmp_path / "a")), SourceRoot("r", str(tmp_path / "b"))]
    with pytest.raises(ConfigError, match=r"two source roots are called `r`"):
        write_plan(roots, None, SourcesConfig(), PlanConfig(), tmp_path / "p.parquet")


# --- laws ---


def is_plain(source):
    """A path that a catalogue can name as it stands."""
    path = source.path
    return not ("://" in path or path.startswith(("/", "./")) or ".." in path.split("/"))


def distinct(sources):
    """Those whose paths differ in NFC too, as a catalogue needs them."""
    return list({(s.root, unicodedata.normalize("NFC", s.path)): s for s in sources}.values())


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
sources_strategy = st.lists(
    st.builds(
        Source,
        st.sampled_from(["one", "two"]),
        st.lists(names, min_size=1, max_size=3).map("/".join),
        st.text(st.characters(codec="ascii"), max_size=3),
        st.integers(0, 10**9),
    ),
    max_size=40,
    unique_by=lambda source: (source.root, source.path),
)
configs = st.builds(
    PlanConfig,
    unit_audio_s=st.floats(1, 10**5),
    unit_max_sources=st.integers(1, 20),
    unit_max_bytes=st.integers(1, 10**10),
    units_at_least=st.integers(1, 300),
    unit_min_audio_s=st.floats(1, 1000),
    subject_buckets=st.integers(1, 5),
)


@given(sources_strategy, configs, st.randoms(use_true_random=False), st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_every_source_that_is_left_is_in_exactly_one_unit_whatever_the_order_of_the_listing(
    tmp_path_factory, sources, config, shuffled, data
):
    folder = tmp_path_factory.mktemp("law")
    known = [source for source in distinct(sources) if is_plain(source)][: data.draw(st.integers(0, 40))]
    rows = [{"root": s.root, "path": s.path, "subject": data.draw(st.sampled_from("abcde"))} for s in known]
    catalogues = [load_catalogue(jsonl_file(folder, rows)) if rows else None for _ in range(2)]
    done = sources[: data.draw(st.integers(0, len(sources)))]

    first, second = folder / "first.parquet", folder / "second.parquet"
    summary = plan_sources(sources, catalogues[0], config, first, done=done_of(done))
    other = list(sources)
    random.Random(shuffled.random()).shuffle(other)
    again = plan_sources(other, catalogues[1], config, second, done=done_of(done))

    assert sha256(first) == sha256(second)
    assert summary == again
    units = units_of(first)
    held = [planned.source for unit in units for planned in unit.sources]
    assert sorted(held, key=repr) == sorted(sources[len(done) :], key=repr)
    assert summary.sources + summary.done == summary.listed == len(sources)
    assert [unit.index for unit in units] == list(range(summary.units))
    for unit in units:
        assert len(unit.sources) <= config.unit_max_sources
        assert len(unit.sources) == 1 or sum(p.source.size_bytes for p in unit.sources) <= config.unit_max_bytes
