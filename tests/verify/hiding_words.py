"""Places in which words are hidden: encodings, containers, Parquet's corners, tars, and what lies beside a lake."""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lake.parts import write_part
from lake.tar import TarWriter
from pipelines.verify.parquet import files_in
from schemas.tables import PLAN_SCHEMA
from tests.verify.canaries import Hidden, Site

Hide = Callable[[Site], Hidden]


def hide_words(site: Site) -> list[Hidden]:
    """Every place of this page."""
    return [hide(site) for hide in (*_encodings(), *_containers(), *_tars(), *_parquets(), *_beside())]


# --- encodings --------------------------------------------------------------------------------------------------------


def _encodings() -> Iterator[Hide]:
    def noise(site: Site, content: bytes) -> bytes:
        rng = site.canaries.random
        return rng.randbytes(rng.randrange(40, 90)) + b"\n" + content + b"\n" + rng.randbytes(rng.randrange(40, 90))

    def encoded(name: str, encode: Callable[[str], bytes], word: str) -> Hide:
        def hide(site: Site) -> Hidden:
            hidden = getattr(site.canaries, word)()
            return site.put(f"{name} in a log", f"logs/{name}.log", noise(site, encode(hidden)), name, hidden)

        return hide

    yield encoded("plain", str.encode, "any")
    yield encoded("json_escaped", lambda word: json.dumps({"t": word}).encode(), "odd_text")
    yield encoded("url_quoted", lambda word: quote(word).encode(), "odd_text")
    yield encoded("html_escaped", lambda word: html.escape(word).encode(), "odd_text")
    yield encoded("utf16_le", lambda word: word.encode("utf-16-le"), "any")
    yield encoded("utf16_be", lambda word: word.encode("utf-16-be"), "any")
    yield encoded("hex_lower", lambda word: word.encode().hex().encode(), "odd_text")
    yield encoded("hex_upper", lambda word: word.encode().hex().upper().encode(), "odd_text")
    yield encoded("unhexed", bytes.fromhex, "hexed")
    yield encoded("capitals", lambda word: word.upper().encode(), "hexed")
    for shift in range(3):
        yield _base64_at(shift)


def _base64_at(shift: int) -> Hide:
    def hide(site: Site) -> Hidden:
        word = site.canaries.any()
        text = base64.b64encode(b"x" * shift + word.encode() + b"yy") + b"\n"
        return site.put(f"base64, begun at {shift}", f"logs/base64-{shift}.txt", text, "base64", word)

    return hide


# --- containers -------------------------------------------------------------------------------------------------------


def _line(site: Site, word: str) -> bytes:
    """The word among pieces of it, so that whatever packs it refers to these and leaves no word as it is."""
    filler = " ".join(str(site.canaries.random.random()) for _ in range(40))
    pieces = "~".join(word[n : n + 6] for n in range(0, len(word), 3))
    return f"{filler} {pieces} {filler} {word} {filler}\n".encode()


def _containers() -> Iterator[Hide]:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
        "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
        "lz4": lambda data: pa.compress(data, "lz4", asbytes=True),
        "zip": _zipped,
    }

    def packed(name: str, pack: Callable[[bytes], bytes]) -> Hide:
        def hide(site: Site) -> Hidden:
            word = site.canaries.any()
            lead = site.canaries.random.randbytes(site.canaries.random.randrange(4))
            data = lead + pack(_line(site, word))
            assert word.encode() not in data
            return site.put(f"in {name}", f"logs/old.{name}", data, f"{name} plain", word)

        return hide

    yield from (packed(name, pack) for name, pack in packers.items())
    yield _zip_stored
    yield _nested
    yield _broken_gzip
    yield _png_text
    yield _report_picture
    yield _base64_of_gzip


def _zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("notes.txt", data)
    return file.getvalue()


def _zip_stored(site: Site) -> Hidden:
    word = site.canaries.any()
    return site.put("stored in a zip", "logs/stored.zip", _zipped(word.encode(), zipfile.ZIP_STORED), "plain", word)


def _nested(site: Site) -> Hidden:
    word = site.canaries.any()
    data = _zipped(gzip.compress(_line(site, word)), zipfile.ZIP_DEFLATED)
    return site.put(
        "gzip in a zip", "logs/nested.zip", data, "plain gzip" + " zip" * (b"\x1f\x8b\x08" not in data), word
    )


def _broken_gzip(site: Site) -> Hidden:
    word = site.canaries.any()
    whole = gzip.compress(_line(site, word) + site.canaries.random.randbytes(5000))
    return site.put("gzip that breaks off", "logs/broken.gz", whole[: len(whole) - 2000], "gzip plain", word)


def _png(kind: bytes, body: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(kind, body) + pixels + chunk(b"IEND", b"")


def _png_text(site: Site) -> Hidden:
    word = site.canaries.any()
    return site.put("text of a PNG", "logs/plot.png", _png(b"tEXt", b"Title\0" + word.encode()), "plain", word)


def _report_picture(site: Site) -> Hidden:
    word = site.canaries.any()
    picture = _png(b"zTXt", b"Title\0\0" + zlib.compress(_line(site, word)))
    page = b"<html><img src='data:image/png;base64," + base64.b64encode(picture) + b"'></html>"
    path = "runs/000001/report-00000000deadbeef.html"
    return site.put("packed text of a picture in a report", path, page, "base64_runs png plain", word)


def _base64_of_gzip(site: Site) -> Hidden:
    word = site.canaries.any()
    text = base64.encodebytes(gzip.compress(_line(site, word)))
    return site.put("gzip in lines of base64", "logs/mail.txt", b"attached:\n" + text, "base64_runs gzip plain", word)


# --- tars -------------------------------------------------------------------------------------------------------------


def _tars() -> Iterator[Hide]:
    yield from (_tar_member, _tar_padding, _tar_pax, _tar_end, _tar_cut_name, _across_a_border)


def _tar(site: Site, members: dict[str, bytes]) -> bytearray:
    """By the writer that runs use."""
    path = site.also.parent / f"made-{site.canaries.random.randrange(10**9)}.tar"
    with TarWriter(path) as writer:
        for name, data in sorted(members.items()):
            writer.add(name, data)
        writer.close()
    data = bytearray(path.read_bytes())
    path.unlink()
    return data


def _tar_member(site: Site) -> Hidden:
    word = site.canaries.any()
    row = json.dumps({"source_path": word}, ensure_ascii=False).encode()
    data = bytes(_tar(site, {"a.json": b"{}", "b.json": row}))
    return site.put("member of a tar, an orphan", "shards/r/0000000-000000000000-00000000.tar", data, "plain", word)


def _tar_padding(site: Site) -> Hidden:
    word = site.canaries.any()
    data = _tar(site, {"a.json": b"{}"})
    data[600 : 600 + len(word.encode())] = word.encode()
    return site.put("padding of a tar", "shards/r/padding.tar", bytes(data), "plain", word)


def _tar_pax(site: Site) -> Hidden:
    word, file = site.canaries.any(), io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.json")
        info.pax_headers = {"comment": word}
        archive.addfile(info)
    return site.put("PAX header", "shards/r/pax.tar", file.getvalue(), "plain", word)


def _tar_end(site: Site) -> Hidden:
    word = site.canaries.any()
    data = bytes(_tar(site, {"a.json": b"{}"})) + bytes(700) + word.encode()
    return site.put("after the end of a tar", "shards/r/end.tar", data, "plain", word)


def _tar_cut_name(site: Site) -> Hidden:
    word, file = site.canaries.path(), io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        # ustar cuts a long name at a slash: what comes before it stands 345 bytes further on.
        tail = word.rpartition("/")[2]
        archive.addfile(tarfile.TarInfo(f"{word}/{'y' * (99 - len(tail))}"))
    assert word.encode() not in file.getvalue()
    return site.put("name that a tar has cut in two", "shards/r/cut.tar", file.getvalue(), "tar_names plain", word)


def _across_a_border(site: Site) -> Hidden:
    word = site.canaries.any()
    at = (1 << 18) - site.canaries.random.randrange(1, len(word.encode()))
    data = bytearray(site.canaries.random.randbytes((1 << 18) + 1000))
    data[at : at + len(word.encode())] = word.encode()
    return site.put("across the border of two blocks", "shards/r/border.bin", bytes(data), "plain", word)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquets() -> Iterator[Hide]:
    yield from (
        _part, _statistics, _key_value, _arrow_schema, _front_coded, _unused_word_in_a_dictionary, _lost_page, _bloom,
        _run_together,
    )  # fmt: skip


def _written(table: pa.Table, **how: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **how)
    return file.getvalue()


def _part(site: Site) -> Hidden:
    word = site.canaries.any()
    path: Path = site.also.parent / "part.parquet"
    row = {"unit_index": 0, "unit_id": "u", "recording_id": "r", "source_root": "raw", "source_path": word,
           "source_version": "v", "source_size_bytes": 1, "estimated_s": 1.0, "deadline_s": 1.0}  # fmt: skip
    write_part(path, [row], PLAN_SCHEMA)
    data = path.read_bytes()
    path.unlink()
    return site.put("row of a plan", "runs/000009/plan-00000000deadbeef.parquet", data, "plain", word)


def _statistics(site: Site) -> Hidden:
    """Of rows that are gone: the pages are zeros, the footer still says smallest and largest."""
    word = site.canaries.any()
    data = bytearray(_written(pa.table({"a": [word, word]}), compression="zstd"))
    ((_, _, (chunk,)),) = files_in(memoryview(bytes(data)), 0)
    data[chunk.first : chunk.first + chunk.size] = bytes(chunk.size)
    return site.put("statistics of Parquet", "utterances/run=r/statistics.parquet", bytes(data), "plain", word)


def _key_value(site: Site) -> Hidden:
    word = site.canaries.any()
    table, file = pa.table({"a": [1]}), io.BytesIO()
    with pq.ParquetWriter(file, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"made_of": word})
    data = file.getvalue()
    return site.put("key-value metadata of Parquet", "utterances/run=r/metadata.parquet", data, "plain", word)


def _arrow_schema(site: Site) -> Hidden:
    word = site.canaries.any()
    schema = pa.schema([pa.field("a", pa.int64(), metadata={"note": word})])
    data = _written(pa.table({"a": [1]}, schema=schema))
    assert word.encode() not in data
    return site.put("Arrow's schema in Parquet", "utterances/run=r/schema.parquet", data, "base64", word)


def _front_coded(site: Site) -> Hidden:
    word = site.canaries.hexed()
    words = ["0" * 32, word[:8] + "0" * 24, word[:16] + "1" * 16, word[:24] + "2" * 8, word, "f" * 32]
    how = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}, "write_statistics": False}
    data = _written(pa.table({"a": words}), compression="none", **how)
    assert word.encode() not in data
    return site.put("front-coded column", "utterances/run=r/delta.parquet", data, "parquet_values plain", word)


def _run_together(site: Site) -> Hidden:
    """A short word counts as a word only where nothing runs into it."""
    word = f"q{site.canaries.random.randrange(1000, 10000)}x"
    site.canaries._kept(site.canaries.terms[0].kind, word)
    how = {"use_dictionary": False, "column_encoding": {"a": "DELTA_LENGTH_BYTE_ARRAY"}, "write_statistics": False}
    data = _written(pa.table({"a": ["before", word, "after"]}), compression="none", **how)
    return site.put("words run together", "utterances/run=r/together.parquet", data, "parquet_values plain", word)


def _unused_word_in_a_dictionary(site: Site) -> Hidden:
    """No row points to it any more, and Snappy has no first bytes by which a page would be found."""
    word = site.canaries.hexed(64)
    decoys = [word[n : n + 12] + "-" * 8 for n in range(0, 64, 8)]
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array([*decoys, word]))
    data = _written(pa.table({"a": array}), compression="snappy", write_statistics=False)
    assert word.encode() not in data
    path = "utterances/run=r/dictionary.parquet"
    return site.put("unused word in a dictionary", path, data, "parquet_pages plain", word)


def _lost_page(site: Site) -> Hidden:
    word = site.canaries.any()
    whole = _written(pa.table({"a": [1]}))
    data = whole[:4] + pa.compress(_line(site, word), "zstd", asbytes=True) + whole[4:]
    return site.put("page that no footer names", "utterances/run=r/page.parquet", data, "zstd plain", word)


def _bloom(site: Site) -> Hidden:
    """Of values that are gone: only the filter is left of the column."""
    words = [site.canaries.text() for _ in range(12)]
    path = site.also.parent / "bloom.parquet"
    values = ", ".join(f"('{word}')" for word in ["!", "~", *words])
    with duckdb.connect() as connection:
        connection.execute(f"create table t as select v from (values {values}) x(v), range(40)")
        connection.execute(f"copy t to '{path}' (format parquet, compression zstd)")
    data = bytearray(path.read_bytes())
    path.unlink()
    ((_, _, (chunk,)),) = files_in(memoryview(bytes(data)), 0)
    assert chunk.bloom is not None
    data[chunk.first : chunk.first + chunk.size] = bytes(chunk.size)
    assert not any(word.encode() in data for word in words)
    return site.put("Bloom filter", "utterances/run=r/bloom.parquet", bytes(data), "parquet_bloom", *words)


# --- beside -----------------------------------------------------------------------------------------------------------


def _beside() -> Iterator[Hide]:
    def planted(name: str, path: str, make: Callable[[str], bytes], word: str = "any") -> Hide:
        def hide(site: Site) -> Hidden:
            hidden = getattr(site.canaries, word)()
            return site.put(name, path, make(hidden), "plain", hidden)

        return hide

    yield planted("commit", "commits/r/0000009-000000000000.0.json", lambda w: json.dumps({"k": w}).encode())
    yield planted("manifest of a snapshot", "snapshots/00000099/utterances.manifest", lambda w: f"/a/{w}\n".encode())
    yield planted("index of a release", "releases/gone/1/index/part-00000.jsonl", lambda w: f"{w}\n".encode())
    yield planted("description of a release", "releases/gone/1/croissant.json", lambda w: json.dumps([w]).encode())
    yield planted("configuration of a run", "runs/000009/config.yaml", lambda w: f"note: {w}\n".encode())
    yield planted("unfinished file", "shards/r/.provoice-unfinished-00aa11bb22cc33dd", lambda w: w.encode())
    # A pseudonym would be expected there.
    yield planted("text in the ledger's notices", "consent/notices/1.json", lambda w: f'["x {w} y"]'.encode(), "text")
    yield planted("engine's spill", "@ray/session_1/spill/0001", lambda w: pickle.dumps({"row": [w, 1]}))
    yield planted("export", "@export/manifest.jsonl", lambda w: json.dumps({"text": f"so {w}"}).encode() + b"\n")
    yield _object_name
    yield _folder_name


def _object_name(site: Site) -> Hidden:
    word = site.canaries.hexed()
    return site.put("name of an object", f"logs/{word}.log", b"nothing in it", "names plain", word)


def _folder_name(site: Site) -> Hidden:
    word = site.canaries.hexed()
    (site.lake / "utterances" / f"run={word}").mkdir(parents=True)
    return Hidden("name of an empty folder", f"utterances/run={word}", frozenset({"names", "plain", "folder"}), (word,))
