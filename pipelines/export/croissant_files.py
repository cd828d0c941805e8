"""The half of a Croissant file that names files, and says how to read records out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.export.record import Form
from schemas.records import StoredObject

Node = dict[str, Any]
OWN_TERMS = "urn:x-provoice:"


@dataclass(frozen=True, slots=True)
class Holding:
    """`distribution` and `recordSet` of a Croissant file."""

    distribution: list[Node]
    record_sets: list[Node]


@dataclass(frozen=True, slots=True)
class _Column:
    """A field of a record set: where it lies in a row of the files (a column, and a path within it)."""

    name: str
    kind: str
    column: str
    path: str | None = None
    is_list: bool = False
    description: str = ""


def context() -> Node:
    """The context of Croissant 1.1, as its appendix lists it, and the prefixes of what we say in ODRL."""
    own = ("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
           "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key",
           "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
           "separator", "source", "subField", "transform")  # fmt: skip
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "odrl": "http://www.w3.org/ns/odrl/2/",
        "provoice": OWN_TERMS,
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "description": {"@container": "@language"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "name": {"@container": "@language"},
        **{name: f"cr:{name}" for name in own},
    }


_LINEAGE = "consent_lineage"
_UNTIL = "not to be used from this instant on"
_ABOUT = (
    _Column("text", "sc:Text", "text", description="transcript, where there is one"),
    _Column("language", "sc:Text", "language", description="BCP 47"),
)
_PERMITTED = (
    _Column("subject_ids", "sc:Text", _LINEAGE, "subject_ids", True, "everybody whose voice it is, by pseudonym"),
    _Column("grant_ids", "sc:Text", _LINEAGE, "grant_ids", True, "the grants that allow the use"),
    _Column("allowed_until", "sc:Text", _LINEAGE, "allowed_until", description=_UNTIL),
)
_KEY = _Column("key", "sc:Text", "key", description="name of the utterance, unique in its lake")
_INDEX = (
    _KEY,
    _Column("recording_id", "sc:Text", "recording_id", description="the recording it was cut from"),
    _Column("audio_sha256", "sc:Text", "audio_sha256", description="of the encoded audio"),
    _Column("duration_s", "sc:Float", "duration_s", description="seconds"),
    _Column("subject_ids", "sc:Text", "subject_ids", None, True, "everybody whose voice it is, by pseudonym"),
    _Column("allowed_until", "sc:DateTime", "allowed_until", description=_UNTIL),
)
_DURATION = _Column("duration_s", "sc:Float", "duration_s", description="seconds")
_OF_FORM: dict[Form, tuple[_Column, ...]] = {
    Form.HUGGINGFACE: (
        _KEY,
        _Column("audio", "sc:AudioObject", "audio", "bytes", description="the encoded audio"),
        _DURATION,
        *_ABOUT,
        *_PERMITTED[:-1],
        # A timestamp in Parquet, text in JSON.
        _Column("allowed_until", "sc:DateTime", _LINEAGE, "allowed_until", description=_UNTIL),
    ),
    Form.NEMO: (
        _KEY,
        _Column("audio_filepath", "sc:Text", "audio_filepath", description="relative to the manifest"),
        _Column("duration_s", "sc:Float", "duration", description="seconds"),
        _Column("text", "sc:Text", "text", description="transcript, where there is one"),
        *_PERMITTED,
    ),
    Form.LHOTSE: (
        _Column("key", "sc:Text", "id", description=_KEY.description),
        _Column("duration_s", "sc:Float", "duration", description="seconds"),
        _Column("recording", "sc:Text", "recording", "sources[0].source", description="path of the audio"),
        _Column("text", "sc:Text", "supervisions", "text", True, "transcript, where there is one"),
        *(_Column(x.name, x.kind, "custom", f"{x.column}.{x.path}", x.is_list, x.description) for x in _PERMITTED),
    ),
}
_ENCODING = {
    "data": "application/x-parquet",
    "index": "application/x-parquet",
    "shard": "application/x-tar",
    "manifest": "application/jsonlines",
    "card": "text/markdown",
}
"""Of each kind of stored object."""
_AUDIO = ["audio/flac", "audio/wav"]
"""Of the codecs that a run may write."""


def holding_of_release(index: Sequence[StoredObject], folder: str) -> Holding:
    """The index of a release, whose paths begin with `folder`."""
    objects = [_file_object(one.path.removeprefix(folder), one, "index") for one in index]
    return _of_tables(objects, "index-parts", "index/*.parquet", _INDEX)


def holding_of_export(form: Form, files: Sequence[StoredObject]) -> Holding:
    """The files of an export, and its records."""
    objects = [_file_object(one.path, one, one.kind) for one in files]
    if form is Form.HUGGINGFACE:
        return _of_tables(objects, "parquet-files", "data/*.parquet", _OF_FORM[form])
    if form is Form.WEBDATASET:
        return _of_tars(objects)
    manifest = {"fileObject": {"@id": next(one.path for one in files if one.kind == "manifest")}}
    audio = _file_set("audio-files", "audio/*/*", _AUDIO)
    audio["description"] = "One file per utterance; its SHA-256 is `audio_sha256` of the utterance's record."
    return Holding([*objects, audio], [_record_set("utterances", [_field(x, manifest) for x in _OF_FORM[form]])])


def _of_tables(objects: list[Node], name: str, includes: str, columns: Sequence[_Column]) -> Holding:
    """Records out of Parquet files. The set is told by its paths: mlcroissant reads no table that is `containedIn` a
    file."""
    if not objects:
        return Holding([], [])
    found = _file_set(name, includes, _ENCODING["data"])
    fields = [_field(column, {"fileSet": {"@id": name}}) for column in columns]
    return Holding([*objects, found], [_record_set("utterances", fields)])


def _of_tars(objects: list[Node]) -> Holding:
    """Two sets of records with one key: what is said of each utterance, as JSON text, and its audio."""
    if not objects:
        return Holding([], [])
    inside = [{"@id": one["@id"]} for one in objects]
    sets = (
        ("utterances", "json", ["json"], ["application/json"], "sc:Text", "the row, as JSON, with `consent_lineage`"),
        ("audio", "audio", ["flac", "wav"], _AUDIO, "sc:AudioObject", "the encoded audio"),
    )
    distribution, record_sets = list(objects), []
    for name, field, suffixes, encodings, kind, description in sets:
        found = _file_set(f"{name}-members", [f"*.{suffix}" for suffix in suffixes], encodings)
        distribution.append({**found, "containedIn": inside})
        files = {"fileSet": {"@id": found["@id"]}}
        named = {**files, "extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(.+)\.[a-z0-9]+$"}}
        content = {**files, "extract": {"fileProperty": "content"}}
        key = _property(f"{name}/key", "sc:Text", _KEY.description, named)
        record_sets.append(_record_set(name, [key, _property(f"{name}/{field}", kind, description, content)]))
    return Holding(distribution, record_sets)


def _file_set(name: str, includes: str | list[str], encoding: str | list[str]) -> Node:
    return {"@type": "cr:FileSet", "@id": name, "name": name, "encodingFormat": encoding, "includes": includes}


def _file_object(path: str, stored: StoredObject, kind: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{stored.size_bytes} B",
        "encodingFormat": _ENCODING[kind],
        "sha256": stored.sha256,
    }


def _record_set(name: str, fields: list[Node]) -> Node:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "key": {"@id": f"{name}/key"},
        "field": fields,
    }


def _field(column: _Column, files: Node) -> Node:
    """A field of a table: a column, and a path within its cells where they are not plain."""
    source = {**files, "extract": {"column": column.column}}
    if column.path:
        source["transform"] = {"jsonPath": column.path}
    found = _property(f"utterances/{column.name}", column.kind, column.description or column.name, source)
    return {**found, "repeated": True} if column.is_list else found


def _property(identifier: str, kind: str, description: str, source: Node) -> Node:
    return {
        "@type": "cr:Field",
        "@id": identifier,
        "name": identifier.rpartition("/")[2],
        "description": description,
        "dataType": kind,
        "source": source,
    }
