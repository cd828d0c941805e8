"""Notices: who trained on what somebody took back is told once, by a webhook if there is one, and never of whom."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from lake import layout
from pipelines.notices.models import State, models
from pipelines.notices.notice import read_notices
from pipelines.notices.tell import tell
from pipelines.notices.uses import read_uses
from pipelines.notices.webhook import NotSent, Webhook, check_environment, webhook_from_environment
from provoice.release_use import register_use
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType
from tests.consents import ended
from tests.erasures import KEY, erased, withdrawn
from tests.releases import crowd

NOW = datetime(2026, 7, 2, tzinfo=UTC)


@pytest.fixture
def made(tmp_path):
    """Three people in `gold@1`, on which `asr-v1` was trained."""
    made = crowd(tmp_path, people=3, sources=1)
    made.release()
    register_use(made.uri, "gold", 1, model="asr-v1", owner="asr-team")
    return made


def notices(made):
    return [one.notice for one in read_notices(made.lake.ledger().root)]


class Hook:
    """What a webhook got, and what it answers."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, object]] = []
        self.names: list[str] = []
        self.waits: list[float] = []
        self.url = ""

    def webhook(self, **fields: object) -> Webhook:
        return Webhook(self.url, sleep=self.waits.append, **fields)  # type: ignore[arg-type]


@contextmanager
def listening(*answers):
    """A server on this machine that answers with these statuses, and then with 200."""
    hook = Hook(*answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            hook.names.append(self.headers["Idempotency-Key"])
            status = hook.answers.pop(0) if hook.answers else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", hook.url)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_port}/a-secret-path"
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("PROVOICE_NOTICE_WEBHOOK", raising=False)


def test_nobody_is_told_while_nothing_was_taken_back(made):
    assert tell(made.lake, NOW).written == []
    assert notices(made) == []


def test_a_withdrawal_is_told_once_and_names_nobody(made):
    withdrawn(made.lake, "p001")
    first = tell(made.lake, NOW)
    assert len(first.written) == 1
    assert tell(made.lake, NOW + timedelta(days=1)).written == []
    (one,) = notices(made)
    assert (one.reason, one.model, one.owner, one.release, one.version) == (
        "withdrawal", "asr-v1", "asr-team", "gold", 1,
    )  # fmt: skip
    assert (one.taken_back.utterances, one.taken_back.audio_s, one.taken_back.people) == (2, 2.0, 1)
    assert one.due_at == NOW + timedelta(days=30)
    text = made.lake.ledger().root.read(layout.notice_path(one.name)).decode()
    assert "p001" not in text
    assert not any(key in text for key in made.keys("p001"))


def test_the_next_withdrawal_is_told_by_itself(made):
    withdrawn(made.lake, "p001")
    tell(made.lake, NOW)
    withdrawn(made.lake, "p000", "p002")
    tell(made.lake, NOW + timedelta(days=1))
    assert [one.taken_back.people for one in notices(made)] == [1, 2]


def test_who_took_back_another_grant_is_no_matter(made):
    made.record(ended("p001", "another-grant"))
    assert tell(made.lake, NOW).written == []


def test_what_is_trained_after_the_withdrawal_is_told_too(made):
    withdrawn(made.lake, "p001")
    tell(made.lake, NOW)
    register_use(made.uri, "gold", 1, model="late", owner="late-team")
    tell(made.lake, NOW)
    assert {one.model for one in notices(made)} == {"asr-v1", "late"}


def test_an_erasure_is_told_with_the_version_to_open_and_once_each(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    outcome = erased(made.lake, "p001")
    assert len(outcome.told.written) == 1
    (one,) = notices(made)
    assert (one.reason, one.replaced_by, one.taken_back.utterances, one.up_to) == ("erasure", 2, 2, 1)
    erased(made.lake, "p002")
    first, second = notices(made)
    assert (first, second.reason, second.replaced_by, second.taken_back.people) == (one, "erasure", 3, 1)
    erased(made.lake, "p000")
    assert [notice.replaced_by for notice in notices(made)] == [2, 3, None]
    assert tell(made.lake, NOW).written == []


def test_a_certificate_says_when_users_were_told(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    outcome = erased(made.lake, "p001")
    (one,) = notices(made)
    said = json.loads(made.lake.ledger().root.read(layout.certificate_path(outcome.erasure.number, 0)))
    assert datetime.fromisoformat(said["certificate"]["clocks"]["notified_at"]) == one.issued_at


def test_a_webhook_gets_each_notice_once(made):
    withdrawn(made.lake, "p001")
    with listening() as hook:
        told = tell(made.lake, NOW, hook.webhook())
        assert (told.sent, told.unsent) == (told.written, [])
        assert tell(made.lake, NOW, hook.webhook()).sent == []
    assert hook.names == told.written
    assert hook.bodies[0]["taken_back"] == {"utterances": 2, "audio_s": 2.0, "people": 1}
    (stored,) = read_notices(made.lake.ledger().root)
    assert stored.sent is not None
    assert (stored.sent.host, stored.sent.status) == ("127.0.0.1", 200)
    assert "a-secret-path" not in stored.sent.model_dump_json()


def test_a_busy_webhook_is_asked_again(made):
    withdrawn(made.lake, "p001")
    with listening(503, 429) as hook:
        assert len(tell(made.lake, NOW, hook.webhook()).sent) == 1
    assert hook.waits == [1.0, 3.0]


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (302, 1), (500, 3)])
def test_what_it_does_not_take_stays_and_is_sent_later(made, status, tries):
    withdrawn(made.lake, "p001")
    with listening(*[status] * tries) as hook:
        told = tell(made.lake, NOW, hook.webhook())
        assert (told.sent, told.unsent) == ([], told.written)
        assert str(status) in told.why
        assert "a-secret-path" not in told.why
        assert len(hook.names) == tries
        assert tell(made.lake, NOW, hook.webhook()).sent == told.written


def test_nobody_waits_long_for_one_that_does_not_answer(made):
    register_use(made.uri, "gold", 1, model="asr-v2", owner="asr-team")
    withdrawn(made.lake, "p001")
    with listening() as hook:
        pass
    told = tell(made.lake, NOW, hook.webhook())
    assert len(told.unsent) == len(told.written) == 2
    assert len(hook.waits) == 2  # three tries of the first, and none of the other
    assert told.why


def test_an_erasure_goes_on_without_its_webhook(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    monkeypatch.setattr("pipelines.notices.webhook._PAUSES_S", (0.0,))
    with listening() as hook:
        pass
    monkeypatch.setenv("PROVOICE_NOTICE_WEBHOOK", hook.url)
    outcome = erased(made.lake, "p001")
    assert outcome.is_finished
    assert outcome.told.unsent == outcome.told.written


def test_an_erasure_goes_on_where_nobody_can_be_told(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    root = made.lake.ledger().root
    root.create("notices/" + "0" * 32 + "-e1.json", b"no notice")
    outcome = erased(made.lake, "p001")
    assert outcome.is_finished
    assert "is no notice" in outcome.told.failed
    root.delete("notices/" + "0" * 32 + "-e1.json")
    assert len(tell(made.lake, NOW).written) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVOICE_NOTICE_WEBHOOK", "file:///etc/passwd"),
        ("PROVOICE_NOTICE_WEBHOOK", "hooks"),
        ("PROVOICE_NOTICE_WEBHOOK", "http://hooks/a secret"),
        ("PROVOICE_NOTICE_DAYS", "soon"),
        ("PROVOICE_NOTICE_DAYS", "nan"),
    ],
)
def test_settings_that_are_none_are_refused_before_anything(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        check_environment()


def test_without_a_setting_there_is_no_webhook():
    assert webhook_from_environment() is None


def test_no_try_is_no_success(made):
    withdrawn(made.lake, "p001")
    tell(made.lake, NOW)
    with pytest.raises(NotSent, match="no try"):
        Webhook("http://127.0.0.1:1/", tries=0).send(notices(made)[0])


# --- models -----------------------------------------------------------------------------------------------------------


def moved(made, kind, **fields):
    name = f"{kind.value}-{made.lake.ledger().head()}"
    event = Event(event_id=name, type=kind, recorded_at=NOW, model="asr-v1", owner="asr-team", **fields)
    made.record(event)


def state(made):
    (one,) = models(read_uses(made.lake))
    return one.state


def test_a_models_state_follows_what_people_and_its_owner_say(made):
    assert state(made) is State.IN_USE
    withdrawn(made.lake, "p001")
    assert state(made) is State.TRAINED_WITH_SUBJECT
    moved(made, EventType.RETIRING)
    assert state(made) is State.TO_BE_RETIRED
    moved(made, EventType.RETIRED)
    withdrawn(made.lake, "p000")
    assert state(made) is State.RETIRED


def test_an_exemption_covers_nobody_who_comes_later(made):
    withdrawn(made.lake, "p001")
    moved(made, EventType.EXEMPTED, note="anonymous by now")
    assert state(made) is State.EXEMPT
    withdrawn(made.lake, "p000")
    (one,) = models(read_uses(made.lake))
    assert (one.state, one.people_withdrawn, one.reason) == (State.TRAINED_WITH_SUBJECT, 2, None)


def test_a_model_keeps_its_state_when_people_are_erased(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    erased(made.lake, "p001")
    (one,) = models(read_uses(made.lake))
    assert (one.state, one.people_withdrawn, one.releases) == (State.TRAINED_WITH_SUBJECT, 1, ("gold@1",))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": "retired", "owner": "x"}, "names its model and owner"),
        ({"type": "exempted", "owner": "x", "model": "m"}, "says in `note`"),
        ({"type": "acknowledged", "owner": "x"}, "names its release and owner"),
    ],
)
def test_events_that_say_too_little_are_none(fields, said):
    with pytest.raises(ValueError, match=said):
        Event(event_id="e", recorded_at=NOW, **fields)
