"""Engines are glue: they hand tasks to workers and yield receipts. They know no audio, and write nothing."""

from __future__ import annotations

import importlib

from pipelines.engines.contract import Engine

NAMES = ("local", "ray", "beam")


def engine_named(name: str) -> Engine:
    """The engine `name`, one of NAMES; its packages are imported only now."""
    engine: Engine = importlib.import_module(f"pipelines.engines.{name}").run
    return engine
