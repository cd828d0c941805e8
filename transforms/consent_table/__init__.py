"""The consent decision over whole tables: `decide`, for millions of rows at once.

It answers exactly what `transforms.consent.decide` answers and shares no function with it: Arrow columns become arrays
of codes (`columns`), the ledger's events are folded by position (`folded`), every rule and grant is asked once for a
use and an instant (`words`, `asked`), and each record joins the answers of its subjects (`subjects`, `decided`).
`runs` lets ten million utterances be decided as the few hundred thousand recordings they came from; `rechecked` asks
again for a release, from its own justifications and what the ledger has said since.
"""

from transforms.consent_table.decided import Asked, ask, decide_asked, decide_table
from transforms.consent_table.folded import ConsentTables, tables_of
from transforms.consent_table.rechecked import recheck_table
from transforms.consent_table.runs import CONSENT_COLUMNS, consent_runs, file_runs, with_source_ids

__all__ = [
    "CONSENT_COLUMNS", "Asked", "ConsentTables", "ask", "consent_runs", "decide_asked", "decide_table", "file_runs",
    "recheck_table", "tables_of", "with_source_ids",
]  # fmt: skip
