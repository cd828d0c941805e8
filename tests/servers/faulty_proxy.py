"""A proxy on loopback in front of a store, that breaks what a test tells it to break.

    with faulty("gs", environment) as (proxy, behind_it):
        proxy.rule = lambda request: Status(503) if request.is_listing else None
        subprocess.run(..., env={**os.environ, **behind_it})

A request is passed on as it came (Amazon's signature covers the name of the host, so that stays), and the answer too.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.stores import environment_of

_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade", "proxy-connection", "date"}


@dataclass(frozen=True)
class Request:
    """What was asked. `path`: without escapes and query. `number` counts all, `turn` the same ones."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    number: int
    turn: int

    @property
    def is_listing(self) -> bool:
        return self.method == "GET" and ("list-type" in self.query or self.path.endswith("/o"))

    def is_about(self, text: str) -> bool:
        """The object's name holds `text`: it stands in the URL, or (a create of gcsfs's) at the begin of the body."""
        return text in self.path or text.encode() in self.body[:1000]

    @property
    def is_conditional(self) -> bool:
        """A create that the store refuses when it comes second."""
        return self.headers.get("If-None-Match") == "*" or "ifGenerationMatch" in self.query


@dataclass(frozen=True)
class Status:
    """Not passed on; answered with this status instead."""

    status: int


@dataclass(frozen=True)
class LostAnswer:
    """Passed on and done; the connection breaks before the answer."""


@dataclass(frozen=True)
class CutOff:
    """Passed on; the connection breaks after so many bytes of the answer's body."""

    bytes: int


@dataclass(frozen=True)
class Stale:
    """The first answer that this URL ever had."""


Fault = Status | LostAnswer | CutOff | Stale


class Proxy:
    """`rule` says what becomes of each request, None: nothing; `counts` counts faults by their class."""

    def __init__(self, scheme: str, upstream: str) -> None:
        self.scheme = scheme
        self.upstream = urlsplit(upstream).netloc
        self.url = ""
        self.rule: Callable[[Request], Fault | None] = lambda _: None
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._turns: Counter[tuple[str, str, int]] = Counter()
        self._first: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}

    def judged(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Fault | None:
        split = urlsplit(url)
        with self._lock:
            same = (method, url, hash(body))
            self._turns[same] += 1
            number, turn = self._turns.total(), self._turns[same]
            query = parse_qs(split.query, keep_blank_values=True)
            fault = self.rule(Request(method, unquote(split.path), query, headers, body, number, turn))
            if fault is not None:
                self.counts[type(fault).__name__] += 1
            return fault

    def kept(self, url: str, answer: tuple[int, list[tuple[str, str]], bytes]) -> None:
        with self._lock:
            self._first.setdefault(url, answer)

    def first(self, url: str) -> tuple[int, list[tuple[str, str]], bytes] | None:
        return self._first.get(url)


@contextmanager
def faulty(scheme: str, environment: Mapping[str, str]) -> Iterator[tuple[Proxy, dict[str, str]]]:
    """A proxy in front of the store that `environment` opens, and the environment that opens the store through it."""
    upstream = environment["STORAGE_EMULATOR_HOST" if scheme == "gs" else "AWS_ENDPOINT_URL"]
    proxy = Proxy(scheme, upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = _Server(("127.0.0.1", 0), handler)
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy, {**environment, **environment_of(scheme, proxy.url)}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Nothing: clients that are killed break their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def _handle(self) -> None:
        body = self._body()
        fault = self.proxy.judged(self.command, self.path, self.headers, body)
        if isinstance(fault, Status):
            return self._answer(*_said(self.proxy.scheme, fault.status))
        stale = self.proxy.first(self.path) if isinstance(fault, Stale) else None
        answer = stale or self._passed_on(body)
        if self.command == "GET":
            self.proxy.kept(self.path, answer)
        if isinstance(fault, LostAnswer):
            self.close_connection = True
            return None
        return self._answer(*answer, cut=fault.bytes if isinstance(fault, CutOff) else None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _handle  # noqa: N815 - names that http.server asks for

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOPS - {"date"} | {"expect"}:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            said = answer.read()
        finally:
            upstream.close()
        # Where an upload goes on is told as a URL; it must lead back to us.
        here = self.proxy.url.removeprefix("http://")
        headers = [
            (name, value.replace(self.proxy.upstream, here) if name.lower() == "location" else value)
            for name, value in answer.getheaders()
            if name.lower() not in _HOPS
        ]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(said))
        return answer.status, [*headers, ("Content-Length", length or "0")], said

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None = None) -> None:
        with suppress(ConnectionError):  # who asked may have gone
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[:cut])
        self.close_connection = self.close_connection or cut is not None

    def log_message(self, *_: object) -> None:
        """Nothing: what is asked is the test's own doing."""


def _said(scheme: str, status: int) -> tuple[int, list[tuple[str, str]], bytes]:
    if scheme == "gs":
        body, kind = b'{"error": {"code": %d, "message": "injected"}}' % status, "application/json"
    else:
        code = {503: "ServiceUnavailable", 429: "TooManyRequests", 500: "InternalError"}.get(status, "Injected")
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        kind = "application/xml"
    return status, [("Content-Type", kind), ("Content-Length", str(len(body)))], body
