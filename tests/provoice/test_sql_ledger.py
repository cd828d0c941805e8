"""The views of the ledger say what the fold says, whatever was recorded in whatever order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given as law
from hypothesis import settings

from lake.lake import Lake
from provoice.sql import connect, records
from schemas.consent import TERMS
from tests.transforms.random_ledgers import ledgers
from transforms.consent import fold


def _of(rules, effect):
    return sorted({str(action) for rule in rules if rule.effect == effect for action in rule.action})


@settings(max_examples=40)
@law(ledgers())
def test_grants_stand_where_the_fold_has_them(events):
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.create_or_open(str(Path(folder) / "lake"))
        lake.ledger().append(events)
        with connect(lake, "grants") as connection:
            found = {row["grant_id"]: row for row in records(connection, "select * from grants")}
    state = fold(enumerate(events, 1))
    assert set(found) == set(state.grants)
    for name, held in state.grants.items():
        row, grant = found[name], held.grant
        assert row["ended"] == held.ended
        assert (row["subject_id"], row["scope"]) == (grant.subject_id, grant.scope.kind)
        assert (row["valid_from"], row["valid_until"]) == (grant.valid_from, grant.valid_until)
        assert (row["permitted"], row["prohibited"]) == (_of(grant.rules, "permit"), _of(grant.rules, "prohibit"))
        assert [{term: tuple(rule[term]) for term in TERMS} for rule in row["rules"]] == [
            {term: getattr(rule, term) for term in TERMS} for rule in grant.rules
        ]
