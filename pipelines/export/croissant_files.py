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
_ABOUT = (
    _Column("text", "sc:Text", "text", description="transcript, where there is one"),
    _Column("language", "sc:Text", "language", description="BCP 47"),
)
_PERMITTED = (
    _Column("subject_ids", "sc:Text", _LINEAGE, "subject_ids", True, "everybody whose voice it is, by pseudonym"),
    _Column("grant_ids", "sc:Text", _LINEAGE, "grant_ids", True, "the grants that allow the use"),
    _Column("allowed_until", "sc:Text", _LINEAGE, "allowed_until", description="not to be used from this instant on"),
)
_KEY = _Column("key", "sc:Text", "key", description="name of the utterance, unique in its lake")
_INDEX = (
    _KEY,
    _Column("recording_id", "sc:Text", "recording_id", description="the recording it was cut from"),
    _Column("audio_sha256", "sc:Text", "audio_sha256", description="of the encoded audio"),
    _Column("duration_s", "sc:Float", "duration_s", description="seconds"),
    _Column("subject_ids", "sc:Text", "subject_ids", None, True, "everybody whose voice it is, by pseudonym"),
    _Column("allowed_until", "sc:Text", "allowed_until", description="not to be used from this instant on"),
)
_DURATION = _Column("duration_s", "sc:Float", "duration_s", description="seconds")
_OF_FORM: dict[Form, tuple[_Column, ...]] = {
    Form.HUGGINGFACE: (_KEY, _Column("audio", "sc:AudioObject", "audio", "bytes"), _DURATION, *_ABOUT, *_PERMITTED),
    Form.WEBDATASET: (_KEY, _DURATION, *_ABOUT, *_PERMITTED),
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


def holding_of_release(index: Sequence[StoredObject], folder: str) -> Holding:
    """The index of a release, whose paths begin with `folder`."""
    objects = [_file_object(one.path.removeprefix(folder), one, "index") for one in index]
    return _of_set(objects, "index-parts", "*.parquet", _ENCODING["index"], _INDEX)


def holding_of_export(form: Form, files: Sequence[StoredObject]) -> Holding:
    """The files of an export, and its records."""
    objects = [_file_object(one.path, one, one.kind) for one in files]
    if form is Form.HUGGINGFACE:
        return _of_set(objects, "parquet-files", "*.parquet", _ENCODING["data"], _OF_FORM[form])
    if form is Form.WEBDATASET:
        return _of_set(objects, "json-members", "*.json", "application/json", _OF_FORM[form])
    manifest = next(one.path for one in files if one.kind == "manifest")
    audio = {
        "@type": "cr:FileSet",
        "@id": "audio-files",
        "name": "audio-files",
        "description": "One file per utterance; its SHA-256 is `audio_sha256` of the utterance's record.",
        "encodingFormat": "audio/flac",
        "includes": "audio/*/*",
    }
    fields = [_field(column, {"fileObject": {"@id": manifest}}, is_json=False) for column in _OF_FORM[form]]
    return Holding([*objects, audio], [_record_set(fields)])


def _of_set(objects: list[Node], name: str, includes: str, encoding: str, columns: Sequence[_Column]) -> Holding:
    """Records out of all the files that match `includes`, in or among the `objects` that hold them."""
    holders = [{"@id": one["@id"]} for one in objects if one["encodingFormat"] != _ENCODING["card"]]
    if not holders:
        return Holding(objects, [])
    file_set = {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "containedIn": holders,
        "encodingFormat": encoding,
        "includes": includes,
    }
    is_json = encoding == "application/json"
    return Holding(
        [*objects, file_set],
        [_record_set([_field(column, {"fileSet": {"@id": name}}, is_json=is_json) for column in columns])],
    )


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


def _record_set(fields: list[Node]) -> Node:
    return {
        "@type": "cr:RecordSet",
        "@id": "utterances",
        "name": "utterances",
        "key": {"@id": "utterances/key"},
        "field": fields,
    }


def _field(column: _Column, files: Node, *, is_json: bool) -> Node:
    """A field; JSON members are read by path from their root, tables by column and then by path."""
    source: Node = dict(files)
    if is_json:
        source["extract"] = {"jsonPath": f"$.{column.column}" + (f".{column.path}" if column.path else "")}
    else:
        source["extract"] = {"column": column.column}
        if column.path:
            source["transform"] = {"jsonPath": column.path}
    return {
        "@type": "cr:Field",
        "@id": f"utterances/{column.name}",
        "name": column.name,
        "description": column.description or column.name,
        "dataType": column.kind,
        **({"repeated": True} if column.is_list else {}),
        "source": source,
    }
