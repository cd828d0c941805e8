"""Decoding: one pass over a file fills the spools, the level track and the meters of its channels."""

from transforms.decode.config import DecodeConfig
from transforms.decode.stage import Decode, decode

__all__ = ["Decode", "DecodeConfig", "decode"]
