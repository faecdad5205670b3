"""The application: the API, its description, and the page."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import CrossbandError
from .decoding import BusyError
from .guards import Guard
from .routes import analysis, galleries, jobs, results, search, system
from .service import Service
from .settings import Settings

__all__ = ["create_app"]

_STATIC = Path(__file__).with_name("static")
_FILES, _FIELDS = 4, 40  # of one form
_ABOUT = "Find the same place, scene or object across visible, near-infrared and thermal images."


class _Form(Request):
    """A request whose form has few parts."""

    def form(self, **_: Any) -> Any:
        return super().form(max_files=_FILES, max_fields=_FIELDS, max_part_size=1 << 20)


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handle(_Form(request.scope, request.receive))

        return bounded


def create_app(settings: Settings) -> FastAPI:
    """Make the application of :mod:`crossband.server`, with everything it needs opened.

    Args:
        settings: what to serve.

    Raises:
        CrossbandError: a gallery cannot be opened.
    """
    service = Service(settings)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=service.warm, name="warm", daemon=True).start()
        yield
        service.close()

    app = FastAPI(
        title="crossband",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=running,
        separate_input_output_schemas=False,
    )
    app.state.service = service
    api = APIRouter(prefix="/api/v1", route_class=_Route)
    for part in (system, galleries, search, analysis, jobs, results):
        part.router.route_class = _Route
        for route in part.router.routes:
            if isinstance(route, APIRoute):
                route.__class__ = _Route
        api.include_router(part.router)
    app.include_router(api)
    for kind, answer in _FAULTS.items():
        app.add_exception_handler(kind, answer)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_route("/", _page("index.html"), include_in_schema=False)
    app.add_route("/docs", _page("docs.html"), include_in_schema=False)
    app.add_middleware(Guard, settings=settings, telemetry=service.telemetry)
    return app


def _page(name: str) -> Callable[[Request], Response]:
    return lambda _: FileResponse(_STATIC / name, media_type="text/html; charset=utf-8")


def _fault(status: int, detail: str, parameter: str = "", headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": detail, "parameter": parameter}, status, headers=headers)


async def _own(_: Request, error: Exception) -> Response:
    return _fault(422, str(error), getattr(error, "parameter", ""))


async def _busy(_: Request, __: Exception) -> Response:
    return _fault(503, "every decoder is at work; try again", headers={"retry-after": "5"})


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _fault(error.status_code, str(error.detail), headers=error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """One sentence; what was sent is not sent back."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1]) if len(first["loc"]) > 1 else ""
    return _fault(422, f"{name or 'the request'}: {first['msg']}", name)


_FAULTS: dict[Any, Any] = {
    CrossbandError: _own,
    BusyError: _busy,
    HTTPException: _http,
    RequestValidationError: _invalid,
}
