"""A provider for the real Terraform that makes nothing: it has the schema of hashicorp/google and answers with made-up
values, so that `terraform validate` checks every reference and type, and `terraform plan` computes every value.

It speaks the provider protocol 5 (gRPC) in this process; Terraform is told where by TF_REATTACH_PROVIDERS. Messages are
put together by hand, for there are a dozen, and most answers are empty.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import msgpack

from tests.infra.provider_schema import Attribute, Block

NAME = "registry.terraform.io/hashicorp/google"
PROJECT_NUMBER = "123456789012"
_LIST_NESTING, _SINGLE_NESTING = 2, 1
_TYPES: Mapping[str, Any] = {
    "list": ["list", "string"],
    "list(number)": ["list", "number"],
    "map": ["map", "string"],
    "object": ["list", ["map", "string"]],
}
_SETTINGS = Block(
    {name: Attribute("string") for name in ("project", "region", "zone", "billing_project")}
    | {"user_project_override": Attribute("bool")}
)
_NAMES = ("account_id", "name", "role_id", "bucket_id", "short_name")
"""Attributes that say what a resource is called, the best first."""


@contextmanager
def serving(schema: Mapping[str, Block]) -> Iterator[dict[str, str]]:
    """The environment with which `terraform` finds the provider here, for as long as the context lasts."""
    server = grpc.server(ThreadPoolExecutor(8))
    answers = _Answers(schema)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", answers.handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    where = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": address}
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps({NAME: where})}
    finally:
        server.stop(None)


class _Answers:
    def __init__(self, schema: Mapping[str, Block]) -> None:
        self._schema = schema

    def handlers(self) -> dict[str, Any]:
        answers: dict[str, Callable[[dict[int, bytes]], bytes]] = {
            "GetSchema": self._get_schema,
            "PrepareProviderConfig": lambda asked: _message(1, asked[1]),
            "PlanResourceChange": self._plan,
            "ReadDataSource": self._read_data,
            **dict.fromkeys(
                ("ValidateResourceTypeConfig", "ValidateDataSourceConfig", "Configure", "Stop"), lambda _: b""
            ),
        }
        return {name: grpc.unary_unary_rpc_method_handler(_answering(answer)) for name, answer in answers.items()}

    def _get_schema(self, _: dict[int, bytes]) -> bytes:
        out = _message(1, _message(2, _block(_SETTINGS)))
        for kind, block in self._schema.items():
            entry = _message(1, kind.removeprefix("data.").encode()) + _message(2, _message(2, _block(block)))
            out += _message(3 if kind.startswith("data.") else 2, entry)
        return out

    def _plan(self, asked: dict[int, bytes]) -> bytes:
        kind = asked[1].decode()
        proposed = msgpack.unpackb(_fields(asked[3])[1], strict_map_key=False)
        planned = proposed and _filled(self._schema[kind], proposed, kind)
        return _message(1, _message(1, msgpack.packb(planned))) + _number(5, 1)

    def _read_data(self, asked: dict[int, bytes]) -> bytes:
        kind = "data." + asked[1].decode()
        state = _filled(self._schema[kind], msgpack.unpackb(_fields(asked[2])[1]), kind)
        return _message(1, _message(1, msgpack.packb(state)))


def _filled(block: Block, values: dict[str, Any], kind: str) -> dict[str, Any]:
    """The values with something made up, and always the same, for what the provider would set."""
    own = next((str(values[name]) for name in _NAMES if values.get(name)), "x")
    for name, attribute in block.attributes.items():
        if values.get(name) is None and (attribute.is_computed or name == "id"):
            values[name] = _made_up(name, attribute, values, kind, own)
    for name, nested in block.blocks.items():
        inner = values.get(name)
        for one in inner if isinstance(inner, list) else []:
            _filled(nested.block, one, f"{kind}.{name}")
    return values


def _made_up(name: str, attribute: Attribute, values: Mapping[str, Any], kind: str, own: str) -> Any:
    if attribute.kind != "string":
        return {"number": 1, "bool": False, "map": {}}.get(attribute.kind, [])
    project = values.get("project") or "made-up"
    account = f"{values.get('account_id') or 'agent'}@{project}.iam.gserviceaccount.com"
    known = {
        "number": PROJECT_NUMBER,
        "email": account,
        "member": f"serviceAccount:{account}",
        "service_account_id": f"bqcx@{project}.iam.gserviceaccount.com",
        "self_link": f"https://www.googleapis.com/compute/v1/projects/{project}/{kind.rpartition('_')[2]}s/{own}",
        "dag_gcs_prefix": "gs://composer-bucket/dags",
    }
    ids = {
        "google_project_iam_custom_role": f"projects/{project}/roles/{own}",
        "google_kms_key_ring": f"projects/{project}/locations/{values.get('location')}/keyRings/{own}",
        "google_kms_crypto_key": f"{values.get('key_ring')}/cryptoKeys/{own}",
    }
    return ids.get(kind) or known.get(name) or f"{kind}/{own}/{name}"


def _block(block: Block) -> bytes:
    out = b""
    for name, attribute in block.attributes.items():
        kind = json.dumps(_TYPES.get(attribute.kind, attribute.kind)).encode()
        how = _number(4, 1) if attribute.is_required else _number(6, 1)
        if not attribute.is_required and not attribute.is_computed:
            how += _number(5, 1)
        out += _message(2, _message(1, name.encode()) + _message(2, kind) + how)
    for name, nested in block.blocks.items():
        if name == "timeouts":
            nesting = _number(3, _SINGLE_NESTING)
        else:
            nesting = (
                _number(3, _LIST_NESTING) + _number(4, int(nested.is_required)) + _number(5, int(nested.is_single))
            )
        out += _message(3, _message(1, name.encode()) + _message(2, _block(nested.block)) + nesting)
    return out


def _answering(answer: Callable[[dict[int, bytes]], bytes]) -> Callable[[bytes, Any], bytes]:
    return lambda request, _: answer(_fields(request))


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _fields(message: bytes) -> dict[int, bytes]:
    """Fields of bytes by number, the last of each; numbers are skipped."""
    found: dict[int, bytes] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            varint()
        else:
            size = varint()
            found[tag >> 3] = message[at : at + size]
            at += size
    return found
