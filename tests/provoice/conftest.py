"""What the tests of the commands share: one small lake that none of them changes, and the command line in one call."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from provoice.cli.main import cli
from tests.builders import SmallLake, small_lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory) -> SmallLake:
    return small_lake(tmp_path_factory.mktemp("small"))


@pytest.fixture
def provoice():
    """Calls the command line; the result has exit_code, stdout and stderr."""

    def call(*words: str) -> Result:
        return CliRunner().invoke(cli, [str(word) for word in words])

    return call
