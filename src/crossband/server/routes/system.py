"""Health, metrics, and the session of a browser."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse

from ... import __version__
from .. import schemas
from ..guards import COOKIE, session_value
from .common import REFUSALS, ServiceOf

router = APIRouter(tags=["system"], responses=REFUSALS)


@router.get("/health", summary="Whether the server works")
def health(service: ServiceOf) -> schemas.Health:
    """Answer without a token, and say nothing of what is served.

    It is ``ready`` when everything that a search needs is loaded; one that is asked earlier waits for that.
    """
    settings = service.settings
    return schemas.Health(
        ready=service.ready.is_set(),
        version=__version__,
        writable=settings.writable,
        token=settings.token is not None,
        galleries=len(service.galleries),
    )


@router.get("/metrics", summary="Counters and times", response_class=PlainTextResponse)
def metrics(service: ServiceOf) -> PlainTextResponse:
    """Tell counters and times in Prometheus' text form."""
    return PlainTextResponse(service.telemetry.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/session", summary="Show the token once", status_code=204, response_class=Response)
def session(service: ServiceOf, request: Request, asked: schemas.Session) -> Response:
    """Answer with a cookie that scripts cannot read."""
    token = service.settings.token
    if token is not None:
        known = token.get_secret_value()
        if not secrets.compare_digest(asked.token.encode("utf-8", "surrogatepass"), known.encode()):
            raise HTTPException(401, "this is not the token")
    answer = Response(status_code=204)
    if token is not None:
        secure = request.url.scheme == "https"
        value = session_value(token.get_secret_value())
        answer.set_cookie(
            COOKIE, value, max_age=12 * 3600, httponly=True, samesite="strict", secure=secure, path="/"
        )
    return answer
