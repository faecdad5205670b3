"""Start the server."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib.util
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import CrossbandError, MissingExtraError
from ..progress import note
from .settings import LOCAL, Settings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = ["check_extra", "serve", "server_of"]

_M_ARENA_MAX, _ARENAS = -8, 2  # malloc.h
_NEEDED = ("fastapi", "uvicorn", "python_multipart")


def check_extra() -> None:
    """Check that the extra ``serve`` is installed.

    Raises:
        MissingExtraError: it is not.
    """
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise MissingExtraError(f"serve needs {', '.join(lacking)}; pip install 'crossband[serve]'")


def _configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn runs an application of :func:`.app.create_app`."""
    import uvicorn

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        proxy_headers=settings.behind_proxy,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32 << 10,
        limit_concurrency=256,
    )


def server_of(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """Return what runs an application of :func:`.app.create_app`; once stopped, it ends event streams."""
    import uvicorn

    class Ending(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.service.ending.set()
            await super().shutdown(sockets)

    return Ending(_configured(app, settings))


def _limit_arenas() -> None:
    """Let all threads share a few heaps of glibc's: with one each, memory
    grows by some 30 MiB in 1,000 requests."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage while modules are imported: there is none, and looking takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def serve(settings: Settings) -> None:
    """Serve galleries until interrupted.

    Raises:
        MissingExtraError: the extra ``serve`` is not installed.
        CrossbandError: no gallery, or the port is taken.
    """
    check_extra()
    _limit_arenas()
    where = f"[{settings.host}]" if ":" in settings.host else settings.host
    with _bound(settings.host, settings.port, where) as place:
        with _uncollected():
            from .app import create_app

            server = server_of(create_app(settings), settings)
        port = place.getsockname()[1]
        print(f"crossband serves {', '.join(settings.galleries)} on http://{where}:{port}", file=sys.stderr)
        if settings.host not in LOCAL and settings.token is None:
            note(f"without a token everybody who reaches {where} may search; give one (docs/serve.md)")
        server.run(sockets=[place])


def _bound(host: str, port: int, where: str) -> socket.socket:
    """A socket at an address, which listens to nobody yet."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason = "another program does" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise CrossbandError(
            f"cannot listen on {where}:{port}: {reason}; choose another {'port' if taken else 'address'}",
            parameter="port" if taken else "host",
        ) from None
    return made
