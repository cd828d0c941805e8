"""The planner works in columns; here is the same plan made row by row, and the two agree on random input."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import csv_columns, plan_stage, plan_units
from pipelines.catalogue import load_catalogue
from pipelines.estimate import BYTES_PER_S, estimated_s
from pipelines.globs import to_regex
from pipelines.plan import PlanConfig, write_plan
from pipelines.sources import SourceRoot, SourcesConfig
from schemas import ids
from schemas.catalogue import CatalogueRow, Subject
from schemas.tables import PLAN_SCHEMA
from tests.pipelines.tables import csv_file, jsonl_file

ROOTS = {"one": "s3://bucket/one", "two": "s3://bucket/two"}


def fits(patterns, path):
    return any(re.fullmatch(to_regex(pattern), path, re.IGNORECASE | re.DOTALL) for pattern in patterns)


def judged(path, config):
    if not config.hidden and any(part.startswith(".") for part in path.split("/")):
        return "hidden"
    if fits(config.exclude, path):
        return "excluded"
    return None if fits(config.include, path) else "not_included"


def said_of(root, path, rows):
    """The one catalogue row that speaks of a source: an exact place, else the longest prefix."""
    text = unicodedata.normalize("NFC", path)
    whole = f"{ROOTS[root]}/{text}"
    exact = [row for row in rows if "path" in row and row["path"] in (text, whole) and row.get("root", root) == root]
    found = []
    for row in rows:
        if "prefix" in row and row.get("root", root) == root:
            start = row["prefix"].removesuffix("*") if row["prefix"].endswith("*") else row["prefix"] + "/"
            if start.startswith("s3://"):
                found += [(len(start) - len(ROOTS[root]) - 1, row)] if whole.startswith(start) else []
            elif text.startswith(start):
                found.append((len(start), row))
    best = exact or [row for length, row in found if length == max(length for length, _ in found)]
    assert len(best) < 2, "the strategy names no place with equal right"
    return best[0] if best else None


def ordered(sources, rows, config):
    """Sources in the order of the plan, with what it says of each but its unit."""
    planned = []
    for root, path, version, size in sources:
        row = said_of(root, path, rows)
        people, said = "", None
        if row is not None:
            people = "\n".join(sorted(row["people"]))
            said = CatalogueRow(subjects=tuple(Subject(subject_id=name) for name in row["people"])).to_json()
        digest = hashlib.blake2b(people.encode(), digest_size=8).digest()
        bucket = int.from_bytes(digest, "big") % config.subject_buckets if people else -1
        planned.append(
            {
                "order": (bucket, people.encode(), root, path.encode()),
                "recording_id": ids.recording_id(root, path, version),
                "source_root": root,
                "source_path": path,
                "source_version": version,
                "source_size_bytes": size,
                "estimated_s": estimated_s(path, size, {**BYTES_PER_S, **config.bytes_per_s}),
                "catalogue_row": said,
                "catalogue_row_sha256": said and hashlib.sha256(said.encode()).hexdigest(),
            }
        )
    return sorted(planned, key=lambda row: row["order"])


def cut(planned, config):
    """Sources in order, in units."""
    total_ms = sum(round(1000 * row["estimated_s"]) for row in planned)
    audio_s = min(config.unit_audio_s, max(config.unit_min_audio_s, total_ms / 1000 / config.units_at_least))
    units, audio_ms, size = [], 0, 0
    for row in planned:
        ms = round(1000 * row["estimated_s"])
        if not units or (
            len(units[-1]) >= config.unit_max_sources
            or audio_ms + ms > round(audio_s * 1000)
            or size + row["source_size_bytes"] > config.unit_max_bytes
        ):
            units.append([])
            audio_ms = size = 0
        units[-1].append(row)
        audio_ms, size = audio_ms + ms, size + row["source_size_bytes"]
    return units


def reference(sources, rows, done, config):
    """Rows of the plan."""
    left = [
        row
        for row in ordered(sources, rows, config)
        if row["recording_id"] not in done or done[row["recording_id"]] != row["catalogue_row_sha256"]
    ]
    told = []
    for index, unit in enumerate(cut(left, config)):
        ms = sum(round(1000 * row["estimated_s"]) for row in unit)
        of_unit = {
            "unit_index": index,
            "unit_id": ids.unit_id(index, (row["recording_id"] for row in unit)),
            "deadline_s": float(round(config.deadline_base_s + config.deadline_s_per_audio_s * ms / 1000)),
        }
        told += [{name: (row | of_unit)[name] for name in PLAN_SCHEMA.names} for row in unit]
    return told


folders = st.sampled_from(["a", "b", "anna", "annabel", "show é", ".hid", "x" * 40])
names = st.builds(
    lambda stem, ending: stem + ending,
    st.text(st.characters(codec="utf-8", exclude_characters="/\0\r\n."), min_size=1, max_size=6),
    st.sampled_from([".wav", ".MP3", ".opus", ".txt", "", ".tar.flac"]),
)
paths = st.builds(lambda parts, name: "/".join([*parts, name]), st.lists(folders, max_size=2), names)
inventories = st.lists(
    st.tuples(st.sampled_from(list(ROOTS)), paths, st.text("abc=\"'", min_size=1, max_size=3), st.integers(0, 10**9)),
    max_size=60,
    unique_by=lambda row: (row[0], unicodedata.normalize("NFC", row[1])),
).map(lambda rows: [row for row in rows if "://" not in row[1]])
people = st.lists(st.sampled_from("pqrst"), max_size=2, unique=True)
configs = st.builds(
    PlanConfig,
    unit_audio_s=st.floats(1, 10**5),
    unit_max_sources=st.integers(1, 20),
    unit_max_bytes=st.integers(1, 10**10),
    units_at_least=st.integers(1, 300),
    unit_min_audio_s=st.floats(1, 1000),
    subject_buckets=st.integers(1, 5),
    bytes_per_s=st.dictionaries(st.sampled_from(["wav", "txt"]), st.floats(10, 10**6), max_size=2),
)
selections = st.builds(
    SourcesConfig,
    include=st.sampled_from([SourcesConfig().include, ("**",), ("*.wav", "a/*"), ("*É*", "*.mp3"), ("anna*/**",)]),
    exclude=st.sampled_from([(), ("b/**",), ("*.OPUS",), ("a/**/[a-k]*",)]),
    hidden=st.booleans(),
)


@st.composite
def catalogues(draw, inventory):
    """Rows that name some of the sources, and prefixes; no two of them name a place with equal right."""
    rows = []
    for root, path, _, _ in inventory:
        kind = draw(st.sampled_from(["none", "none", "path", "uri"]))
        text = unicodedata.normalize("NFC", path)
        if kind == "path" and not text.startswith(("/", "./")):
            rows.append({"root": root, "path": text, "people": draw(people)})
        elif kind == "uri":
            rows.append({"path": f"{ROOTS[root]}/{text}", "people": draw(people)})
    if draw(st.booleans()):
        rows.append({"path": "nobody has it.wav", "people": draw(people)})
    prefixes = draw(st.lists(st.sampled_from(["*", "a", "anna", "ann*", "show é", "a/b"]), max_size=4, unique=True))
    rows += [{"prefix": prefix, "people": draw(people)} for prefix in prefixes]
    if "a" not in prefixes and draw(st.booleans()):
        rows.append({"prefix": "s3://bucket/two/a", "people": draw(people)})
    return draw(st.permutations(rows))


def tables(folder, inventory, rows, as_parquet):
    """The inventory and the catalogue as files."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["root", "path", "version", "size"])
    writer.writerows(inventory)
    listed = csv_file(folder, text.getvalue(), "inventory.csv")
    if as_parquet:
        columns = zip(*inventory, strict=True) if inventory else ([], [], [], [])
        listed = str(folder / "inventory.parquet")
        arrays = [pa.array(list(c), t) for c, t in zip(columns, [pa.string()] * 3 + [pa.int64()], strict=True)]
        pq.write_table(pa.table(arrays, names=["root", "path", "version", "size"]), listed)
    said = jsonl_file(
        folder, [{k: v for k, v in row.items() if k != "people"} | {"subjects": row["people"]} for row in rows]
    )
    if all(row["people"] for row in rows) and rows:
        text = io.StringIO()
        cells = csv.DictWriter(text, ["root", "path", "prefix", "subjects"])
        cells.writeheader()
        cells.writerows(
            {k: v for k, v in row.items() if k != "people"} | {"subjects": ";".join(row["people"])} for row in rows
        )
        said = csv_file(folder, text.getvalue())
    return listed, said if rows else None


@given(inventories, configs, selections, st.booleans(), st.sampled_from([40, 400, 1 << 20]), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_the_plan_in_columns_is_the_plan_row_by_row(
    tmp_path_factory, inventory, config, selection, as_parquet, block_bytes, data
):
    folder = tmp_path_factory.mktemp("plan")
    rows = data.draw(catalogues(inventory))
    listed, said = tables(folder, inventory, rows, as_parquet and inventory)
    taken = [row for row in inventory if judged(row[1], selection) is None]
    done = {}
    for row in ordered(taken, rows, config):
        if data.draw(st.sampled_from(["no", "no", "done", "changed"])) != "no":
            digest = row["catalogue_row_sha256"]
            done[row["recording_id"]] = data.draw(st.sampled_from([digest, digest, None, "f" * 64]))
    arrays = [list(done), list(done.values())]
    done_table = pa.table([pa.array(a, pa.string()) for a in arrays], names=["recording_id", "catalogue_row_sha256"])
    if not inventory:
        return  # an inventory without a row is refused
    with (
        mock.patch.object(csv_columns, "_BLOCK_BYTES", block_bytes),
        mock.patch.object(plan_stage, "_ROW_BYTES", 1 << 19),  # some four rows a partition
        mock.patch.object(plan_stage, "_STRIDE", 1),
        mock.patch.object(plan_units, "_GROUP_ROWS", 7),
    ):
        catalogue = load_catalogue(said) if said else None
        summary = write_plan(
            [SourceRoot(name, uri) for name, uri in ROOTS.items()],
            catalogue,
            selection.model_copy(update={"inventory": listed}),
            config.model_copy(update={"sort_memory_bytes": 16 << 20}),
            folder / "plan.parquet",
            done=done_table,
        )
    expected = reference(taken, rows, done, config)
    assert pq.read_table(folder / "plan.parquet").to_pylist() == expected
    causes = [judged(row[1], selection) for row in inventory]
    assert summary.ignored_by_cause == {c: causes.count(c) for c in sorted({*causes} - {None})}
    matched = [said_of(root, path, rows) for root, path, _, _ in taken]
    assert summary.unmatched_rows == sum(row not in matched for row in rows)
    assert (summary.listed, summary.sources) == (len(taken), len(expected))
    assert summary.without_row == sum(row["catalogue_row"] is None for row in expected)


def test_a_partition_is_never_asked_to_hold_what_another_does(tmp_path, monkeypatch):
    """The same plan, however little memory there is for sorting: in one partition, and in many."""
    rows = [(f"{n * 7919 % 3000:04d}/{n}.wav", f"v{n}", str(1000 * n)) for n in range(3000)]
    listed = csv_file(tmp_path, "path,version,size\n" + "".join(",".join(row) + "\n" for row in rows))
    config = SourcesConfig(inventory=listed)
    found = []
    for row_bytes in (64, 1 << 14):
        monkeypatch.setattr(plan_stage, "_ROW_BYTES", row_bytes)
        out = tmp_path / f"{row_bytes}.parquet"
        write_plan([SourceRoot("r", "s3://b")], None, config, PlanConfig(sort_memory_bytes=16 << 20), out)
        found.append(out.read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("text", ["path,version,size\n", "path,version,size\n\n\r\n"])
def test_an_inventory_without_a_row_is_refused(tmp_path, text):
    from schemas.errors import ConfigError

    config = SourcesConfig(inventory=csv_file(tmp_path, text))
    with pytest.raises(ConfigError, match=r"holds no row"):
        write_plan([SourceRoot("r", "s3://b")], None, config, PlanConfig(), tmp_path / "p.parquet")
