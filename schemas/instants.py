"""Instants: UTC, microseconds. A bare date means the stricter end, so that doubt never widens a permission."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from schemas.errors import ConfigError

_BARE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def to_text(value: datetime) -> str:
    """RFC 3339 in UTC, with as many decimals as are needed."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _midnight(value: Any, days: int) -> Any:
    if isinstance(value, str) and _BARE_DATE.fullmatch(value.strip()):
        return datetime.fromisoformat(value.strip()).replace(tzinfo=UTC) + timedelta(days=days)
    return value


Instant = Annotated[AwareDatetime, PlainSerializer(to_text, when_used="json")]
"""An instant with a zone."""

BeginInstant = Annotated[Instant, BeforeValidator(lambda value: _midnight(value, 1))]
"""The beginning of a window: a bare date means the end of that day."""

EndInstant = Annotated[Instant, BeforeValidator(lambda value: _midnight(value, 0))]
"""The end of a window: a bare date means the beginning of that day."""


def parse_instant(text: str, where: str) -> datetime:
    """An instant as somebody types it; a bare date means its beginning. Raises ConfigError that names `where`."""
    try:
        found: datetime = TypeAdapter(EndInstant).validate_python(text)
    except ValidationError:
        raise ConfigError(
            f"{where}: `{text}` is no instant; write a date (2026-06-01) or an instant with its zone "
            "(2026-06-01T12:00:00Z)"
        ) from None
    return found.astimezone(UTC)
