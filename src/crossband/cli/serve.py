"""``serve``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CrossbandError
from ._app import app
from ._arguments import DeviceOption, GalleriesOption, MemoryOption

_TOKEN = "CROSSBAND_TOKEN"
_SHORTEST = 16


@app.command()
def serve(
    gallery: GalleriesOption,
    models: Annotated[
        Path | None, typer.Option(help="folder of networks: segmentation, detection, those of a flight")
    ] = None,
    flight: Annotated[
        list[Path] | None,
        typer.Option(help="a thermal flight, or a folder that reid --flight wrote; may be repeated"),
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="map below positions: tiles.json, a GeoTIFF, or OpenStreetMap's extract"),
    ] = None,
    tiles: Annotated[
        str | None, typer.Option(help="map tiles below positions: an address with {z}, {x} and {y}")
    ] = None,
    attribution: Annotated[
        str | None, typer.Option(help="whom the map thanks for the tiles; their host without it")
    ] = None,
    reports: Annotated[
        list[Path] | None, typer.Option(help="a folder with reports to show; may be repeated")
    ] = None,
    folder: Annotated[
        list[Path] | None, typer.Option(help="with --writable: a folder that may be indexed; may be repeated")
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    name: Annotated[
        list[str] | None, typer.Option(help="host name that browsers may use for it; may be repeated")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help=f"file with a token that requests must show; or the variable {_TOKEN}")
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="allow adding, deleting, and starting jobs")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="folder that keeps jobs over a restart")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="believe a proxy on this machine who the client is")
    ] = False,
    max_upload: Annotated[str, typer.Option(help="largest request, as in 64M")] = "64M",
    searches: Annotated[int, typer.Option(min=0, help="per minute and client; 0: no limit")] = 600,
    log: Annotated[bool, typer.Option("--log", help="write each request to standard error, as JSON")] = False,
    max_memory: MemoryOption = "2G",
    device: DeviceOption = "cpu",
) -> None:
    """Serve galleries: a page to search, compare and browse, and a REST API.

    Example: crossband serve --gallery gallery
    """
    from ..retrieval.search import parse_memory
    from ..server import Settings
    from ..server import serve as run
    from ..server.settings import named_folders, named_galleries

    run(
        Settings(
            galleries=named_galleries(gallery),
            models=models,
            flights=named_folders(flight or [], "flight"),
            map=map_,
            tiles=tiles,
            attribution=attribution,
            reports=named_folders(reports or [], "reports"),
            folders=named_folders(folder or [], "folder"),
            state=state,
            host=host,
            port=port,
            names=tuple(name or ()),
            token=_token(token_file),  # type: ignore[arg-type]
            writable=writable,
            behind_proxy=behind_proxy,
            upload_bytes=max(1 << 10, _size(max_upload)),
            searches=searches,
            requests=10 * searches,
            memory=max(1 << 24, parse_memory(max_memory)),
            device=device,
            log=log,
        )
    )


def _size(text: str) -> int:
    """Bytes of the largest upload."""
    from ..retrieval.search import parse_memory

    try:
        return parse_memory(text)
    except CrossbandError as error:
        raise CrossbandError(str(error), parameter="max_upload") from None


def _token(file: Path | None) -> str | None:
    """The token of a file or of the environment: on the command line every user of the machine would see it."""
    where, text = str(file), os.environ.get(_TOKEN, "")
    if file is None:
        where = _TOKEN
    else:
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CrossbandError(
                f"the token cannot be read from {file} ({error})", parameter="token_file"
            ) from None
    if (text or file is not None) and len(text) < _SHORTEST:
        raise CrossbandError(
            f"the token in {where} has under {_SHORTEST} signs; make a longer one", parameter="token_file"
        )
    return text or None
