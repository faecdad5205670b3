"""What stands before every request: who may ask, how much, how often and how long; and what every answer says.

Plain ASGI, so that nothing of a body is read before its size is known to be allowed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import sys
import threading
import time
import traceback
from collections import OrderedDict
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import Settings, tile_host
from .telemetry import Telemetry

__all__ = ["COOKIE", "Guard", "RateLimit", "session_value"]

COOKIE = "crossband_session"
_CLIENTS = 10_000
_OPEN = ("/api/v1/health", "/api/v1/session")
_COSTLY = ("/search", "/align", "/segment", "/detect", "/uploads", "/items", "/jobs")
_SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}


def _security(settings: Settings) -> dict[str, str]:
    """The headers of every answer; pictures may come from the tile server that was named, and from no other."""
    if settings.tiles is None:
        return _SECURITY
    name = "content-security-policy"
    return {**_SECURITY, name: _SECURITY[name].replace("img-src ", f"img-src {tile_host(settings.tiles)} ")}


def session_value(token: str) -> str:
    """Return what the cookie of a browser that has shown the token holds: not the token itself."""
    return hmac.new(token.encode(), b"crossband serve session", sha256).hexdigest()


class RateLimit:
    """So many requests a minute and client, a quarter of a minute's at once.

    Example:
        >>> limit = RateLimit(60)
        >>> [limit.wait("a", now=0.0) for _ in range(16)][-2:], limit.wait("b", now=0.0)
        ([0.0, 1.0], 0.0)
    """

    def __init__(self, per_minute: int) -> None:
        self._rate, self._most = per_minute / 60, max(1.0, per_minute / 4)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str, now: float | None = None) -> float:
        """Count a request; returns seconds to wait before it is allowed, 0 where it is."""
        if not self._rate:
            return 0.0
        now = time.monotonic() if now is None else now
        with self._lock:
            left, then = self._left.pop(client, (self._most, now))
            left = min(self._most, left + (now - then) * self._rate)
            allowed = left >= 1
            self._left[client] = (left - 1 if allowed else left, now)
            while len(self._left) > _CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


class Guard:
    """The middleware.

    Args:
        app: what lies behind.
        settings: the limits.
        telemetry: where requests are counted.
    """

    def __init__(self, app: ASGIApp, settings: Settings, telemetry: Telemetry) -> None:
        self._app, self._settings, self._telemetry = app, settings, telemetry
        self._hosts = settings.allowed_hosts()
        self._security = _security(settings)
        token = settings.token.get_secret_value() if settings.token is not None else None
        self._token = token
        self._session = None if token is None else session_value(token)
        self._late: set[asyncio.Task[None]] = set()
        self._all, self._costly = RateLimit(settings.requests), RateLimit(settings.searches)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._security)
        began = time.perf_counter()
        try:
            refused = self._refused(scope)
            if refused is not None:
                await _refuse(answer, *refused)
            else:
                await self._handle(scope, receive, answer)
        finally:
            self._tell(scope, answer.status, time.perf_counter() - began)

    async def _handle(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        seconds = None if scope["path"].endswith("/events") else self._settings.seconds
        bounded = _Bounded(receive, self._settings.upload_bytes)
        task: asyncio.Task[None] = asyncio.ensure_future(self._app(scope, bounded, answer))
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:  # work in a thread goes on to its end, and nobody hears of it
            await _refuse(answer, 503, "the request took longer than it may; try again, or ask for less")
            answer.closed = True
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            task.cancel()
            return
        error = task.exception()
        if error is not None:
            traceback.print_exception(error, file=sys.stderr)
            await _refuse(answer, 500, "the server made a mistake; its log says which")

    def _refused(self, scope: Scope) -> tuple[int, str] | tuple[int, str, dict[str, str]] | None:
        """Status and sentence for a request that is not let through."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if _host(headers.get("host", "")) not in self._hosts:
            return 421, "this server does not answer to that host name; start it with --name to allow one"
        unsafe = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if unsafe and not self._same_site(headers):
            return 403, "a page of another site may not ask this"
        client = scope["client"][0] if scope.get("client") else ""
        path = scope["path"]
        wait = self._all.wait(client)
        if not wait and unsafe and path.endswith(_COSTLY):
            wait = self._costly.wait(client)
        if not wait and path == "/api/v1/session":
            wait = self._costly.wait(f"{client} session")
        if wait:
            return 429, "too many requests; wait a moment", {"retry-after": str(int(wait) + 1)}
        closed = (path.startswith("/api/") and path not in _OPEN) or path == "/openapi.json"
        if closed and not self._known(headers):
            return 401, "a token is needed, in the header Authorization: Bearer", {"www-authenticate": "Bearer"}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._settings.upload_bytes:
            return 413, f"a request has at most {self._settings.upload_bytes >> 20} MiB"
        return None

    def _same_site(self, headers: dict[str, str]) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or (urlsplit(origin).netloc.lower() == headers.get("host", "").lower())

    def _known(self, headers: dict[str, str]) -> bool:
        """Whether a request shows the token, compared in constant time."""
        if self._token is None or self._session is None:
            return True
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and secrets.compare_digest(shown.encode(), self._token.encode()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(cookie.value.encode(), self._session.encode())

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._telemetry.count(
            "crossband_requests_total", method=_method(scope), route=route, status=str(status)
        )
        self._telemetry.observe(seconds, route=route)
        if self._settings.log:
            client = scope["client"][0] if scope.get("client") else ""
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "client": client,
                "method": _method(scope),
                "path": scope["path"][:200],
                "status": status,
                "ms": round(1000 * seconds, 1),
            }
            print(json.dumps(line), file=sys.stderr, flush=True)


class _Answer:
    """Sends, with the headers of safety, and remembers the status."""

    def __init__(self, send: Send, security: dict[str, str]) -> None:
        self._send, self.status, self.begun, self.closed = send, 0, False, False
        self._security = security

    async def __call__(self, message: Message) -> None:
        if self.closed:
            return
        if message["type"] == "http.response.start":
            self.begun, self.status = True, message["status"]
            there = {name.lower() for name, _ in message.get("headers", ())}
            more = [(n.encode(), v.encode()) for n, v in self._security.items() if n.encode() not in there]
            if b"cache-control" not in there:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)


class _Bounded:
    """Receives a body up to its limit, whatever its length was said to be."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left, self._most = receive, most, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, f"a request has at most {self._most >> 20} MiB")
        return message


async def _refuse(answer: _Answer, status: int, detail: str, headers: dict[str, Any] | None = None) -> None:
    if answer.begun:
        return
    body = json.dumps({"detail": detail, "parameter": ""}).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode(), str(value).encode()) for name, value in told.items()]
    await answer({"type": "http.response.start", "status": status, "headers": raw})
    await answer({"type": "http.response.body", "body": body})


def _method(scope: Scope) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    return scope["method"] if scope["method"] in known else "OTHER"


def _host(header: str) -> str:
    """The host of a header ``Host``, without its port.

    Example:
        >>> _host("Images.Example:8000"), _host("[::1]:80")
        ('images.example', '[::1]')
    """
    header = header.strip().lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]
