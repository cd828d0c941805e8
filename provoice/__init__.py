"""What people touch: the command line, SQL, reports, the demo, and the loader that training code opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provoice.loader.opening import open_release
    from schemas.errors import ConsentError

__all__ = ["ConsentError", "open_release"]


def __getattr__(name: str) -> Any:
    """Looks for what is asked for, and only then: the command line must start without it."""
    if name == "ConsentError":
        from schemas.errors import ConsentError

        return ConsentError
    if name == "open_release":
        from provoice.loader.opening import open_release

        return open_release
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
