"""The view `subject_accents`, which `provoice.sql` makes beside its own: a person's accent from all of their
utterances, put together when it is asked for and stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Set

import duckdb

VIEWS: Mapping[str, str] = {
    "subject_accents": "each person's accent over their current utterances, declared before predicted; nobody whose "
    "consent has ended",
}
"""Every view, and what it holds."""

NEEDS: Mapping[str, tuple[str, ...]] = {"subject_accents": ("utterances", "grants", "events")}
"""Views that a view is made of: they are made first."""

SUBJECT_ACCENTS = (
    "subject_id", "label_set", "label", "origin", "share", "utterances", "audio_s", "unsure", "shares",
)  # fmt: skip

# Of one speaker alone: whose accent it is in an utterance of several nobody knows. What is declared counts 1, what is
# predicted counts its score; where anything is declared of a person, only that is counted. Whom the ledger knows, and
# who has no grant that stands, is not described; whom it does not know is in a lake of a first look (explore).
_SUBJECT_ACCENTS = """
create view subject_accents as
with one as (
    select list_filter(consent, lambda link: link.role = 'speaker') as speakers, accent, duration_s, quality_flags
    from utterances
), own as (
    select speakers[1].subject_id as subject_id, accent.label_set as label_set, accent.label as label,
           accent.origin as origin, coalesce(accent.score, 1.0) as weight, duration_s,
           list_contains(quality_flags, 'accent_is_unsure') as is_unsure
    from one where len(speakers) = 1
), ended as (
    select subject_id from events where subject_id is not null group by 1
    except select subject_id from grants where standing = 'valid'
), described as (
    select own.* from own anti join ended using (subject_id)
), unsure as (
    select subject_id, count(*) as unsure from described where is_unsure group by 1
), told as (
    select *, bool_or(origin = 'declared') over (partition by subject_id, label_set) as has_declared
    from described where label is not null
), summed as (
    select subject_id, label_set, label, origin, sum(weight) as weight, count(*) as utterances,
           sum(duration_s) as audio_s
    from told where has_declared = (origin = 'declared') group by all
), ranked as (
    select *, weight / sum(weight) over person as share, sum(utterances) over person as all_utterances,
           sum(audio_s) over person as all_s, row_number() over (person order by weight desc, label) as place
    from summed window person as (partition by subject_id, label_set)
)
select subject_id, label_set, first(label order by place) as label, first(origin order by place) as origin,
       round(max(share), 3) as share, any_value(all_utterances)::bigint as utterances,
       round(any_value(all_s), 3) as audio_s, coalesce(any_value(unsure), 0) as unsure,
       map_from_entries(list((label, round(share, 3)) order by place)) as shares
from ranked left join unsure using (subject_id) group by subject_id, label_set order by all
"""


def create(connection: duckdb.DuckDBPyConnection, views: Set[str]) -> None:
    """Makes the view where it is among `views`, after those it is made of."""
    if "subject_accents" in views:
        connection.execute(_SUBJECT_ACCENTS)
