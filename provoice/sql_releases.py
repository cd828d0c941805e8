"""Views about releases, which `provoice.sql` makes beside its own."""

from __future__ import annotations

from collections.abc import Mapping, Set

import duckdb

from lake.reader import LakeReader

VIEWS: Mapping[str, str] = {}
"""Every view, and what it holds."""

NEEDS: Mapping[str, tuple[str, ...]] = {}
"""Views that a view is made of: they are made first."""


def create(connection: duckdb.DuckDBPyConnection, reader: LakeReader, views: Set[str]) -> None:
    """Makes those of VIEWS that are among `views`, after all others; helper tables go into the schema `provoice`."""
