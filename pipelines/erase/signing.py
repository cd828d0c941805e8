"""Signing with a local Ed25519 key, if one is configured."""

from __future__ import annotations

import base64
import os

from lake.storage import Missing, Root
from schemas.errors import ConfigError, LakeError
from schemas.model import Frozen

ALGORITHM = "ed25519"
_PACKAGE = "signatures need a package: pip install 'provoice[certificates]'"


class Signature(Frozen):
    """Over the canonical JSON of what is signed; both in base64."""

    algorithm: str = ALGORITHM
    public_key: str
    value: str


def sign(text: bytes) -> Signature | None:
    """A signature with the key that `PROVOICE_CERTIFICATE_KEY_URI` names (PEM, PKCS 8, no password); None where it
    names none. Raises ConfigError for what is no such key."""
    uri = os.environ.get("PROVOICE_CERTIFICATE_KEY_URI")
    if not uri:
        return None
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    except ImportError:
        raise ConfigError(_PACKAGE) from None
    try:
        key = load_pem_private_key(_read(uri, "PROVOICE_CERTIFICATE_KEY_URI"), password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"PROVOICE_CERTIFICATE_KEY_URI: {uri} is not a key in PEM: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"PROVOICE_CERTIFICATE_KEY_URI: {uri} is not an Ed25519 key")
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Signature(public_key=_text(public), value=_text(key.sign(text)))


def is_signed(text: bytes, signature: Signature) -> bool:
    """Whether the signature is one of its own public key over `text`; whose key that is, its owner knows."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise ConfigError(_PACKAGE) from None
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.public_key, validate=True))
        public.verify(base64.b64decode(signature.value, validate=True), text)
    except (InvalidSignature, ValueError):
        return False
    return signature.algorithm == ALGORITHM


def public_key_at(uri: str) -> str:
    """A public key (PEM) as certificates write it, in base64. Raises ConfigError for what is no such key."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
    except ImportError:
        raise ConfigError(_PACKAGE) from None
    try:
        key = load_pem_public_key(_read(uri, "--key"))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--key {uri} is not a public key in PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"--key {uri} is not an Ed25519 key")
    return _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _read(uri: str, which: str) -> bytes:
    folder, _, name = uri.rpartition("/")
    try:
        return Root(folder or ("/" if uri.startswith("/") else ".")).read(name)
    except Missing:
        raise ConfigError(f"{which} names {uri}, which does not exist") from None
    except LakeError as error:
        raise ConfigError(f"{which}: {error}") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
