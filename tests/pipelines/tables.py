"""Small files as people write them, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.catalogue import Catalogue, load_catalogue


def csv_file(folder: Path, text: str, name: str = "catalogue.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def jsonl_file(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "catalogue.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def parquet_file(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "catalogue.parquet") -> str:
    path = folder / name
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def catalogue_of(folder: Path, text: str) -> Catalogue:
    """A catalogue from the text of a CSV."""
    return load_catalogue(csv_file(folder, text))
