"""A record as JSON, for the formats whose records are lines of it."""

from __future__ import annotations

import json
from typing import Any


def json_line(value: Any) -> bytes:
    """One line; the same value gives the same bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
