"""What people touch: the command line, SQL, reports, the demo, and the loader that training code opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provoice.loader.opening import open_release

__all__ = ["open_release"]


def __getattr__(name: str) -> Any:
    """Looks for `open_release` only when it is asked for: the command line must start without it."""
    if name == "open_release":
        from provoice.loader.opening import open_release

        return open_release
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
