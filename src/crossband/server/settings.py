"""What a server serves, and within which limits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ..errors import CrossbandError

__all__ = ["LOCAL", "Settings", "check_there", "named_folders", "named_galleries", "tile_host"]

LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")


class Settings(BaseModel):
    """Everything that a server is told.

    Attributes:
        galleries: name -> folder, or another address of a gallery.
        flights: name -> folder of a thermal flight, or of what the chain found in one.
        map: semantic map or GeoTIFF that positions are drawn on.
        tiles: address of a server of map tiles, see :func:`tile_host`; without it no page asks another host for
            anything.
        attribution: what the map says of the tiles' origin; their host where it is not given.
        models: folder of networks of the flight's chain, of which ``segmentation`` and ``detection`` serve
            pictures too.
        reports: name -> folder that is searched for reports and results.
        folders: name -> folder whose images may be indexed.
        state: where jobs are kept, so that they survive a restart.
        host, port: address.
        names: hosts that a request may name, besides this machine's own.
        token: what a request must show, if anything.
        writable: whether items may be added and deleted, and jobs started.
        behind_proxy: whether to believe the client's address as a proxy on this machine tells it.
        upload_bytes, upload_pixels: of one request, and of one image in it.
        decoders: processes that decode images; ``decoder_bytes`` and ``decoder_seconds`` limit each.
        seconds: that a request may take.
        requests, searches: per minute and client, of all kinds, and of those that run a network; 0: no limit.
        kept_bytes: of pictures that wait for their search or comparison.
        memory: bytes that a gallery may take.
        device: ``cpu``, ``cuda`` or ``auto``.
        log: whether each request is written to standard error as a line of JSON.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    galleries: dict[str, str | Path]
    flights: dict[str, Path] = Field(default_factory=dict)
    map: Path | None = None
    tiles: str | None = None
    attribution: str | None = None
    models: Path | None = None
    reports: dict[str, Path] = Field(default_factory=dict)
    folders: dict[str, Path] = Field(default_factory=dict)
    state: Path | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    names: tuple[str, ...] = ()
    token: SecretStr | None = None
    writable: bool = False
    behind_proxy: bool = False
    upload_bytes: Annotated[int, Field(ge=1 << 10)] = 64 << 20
    upload_pixels: Annotated[int, Field(ge=1)] = 50_000_000
    decoders: Annotated[int, Field(ge=1, le=64)] = 2
    decoder_bytes: Annotated[int, Field(ge=1 << 29)] = 3 << 30
    decoder_seconds: Annotated[float, Field(gt=0)] = 20
    seconds: Annotated[float, Field(gt=0)] = 120
    requests: Annotated[int, Field(ge=0)] = 6000
    searches: Annotated[int, Field(ge=0)] = 600
    kept_bytes: Annotated[int, Field(ge=1 << 20)] = 256 << 20
    memory: Annotated[int, Field(ge=1 << 24)] = 2 << 30
    device: str = "cpu"
    log: bool = True

    def allowed_hosts(self) -> frozenset[str]:
        """Return the hosts that a request may name, so that no page of another site points its name here.

        Example:
            >>> sorted(Settings(galleries={}, names=("images.example",)).allowed_hosts())[-2:]
            ['images.example', 'localhost']
        """
        own = () if _is_any(self.host) else (self.host.lower(),)
        return frozenset((*LOCAL, *own, *(name.lower() for name in self.names)))


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def tile_host(tiles: str) -> str:
    """Return scheme and host of a tile server: the one other place that a page may load pictures from.

    Args:
        tiles: an address of PNG or JPEG tiles in Web Mercator, with ``{z}``, ``{x}`` and ``{y}``.

    Raises:
        CrossbandError: no address of tiles.

    Example:
        >>> tile_host("https://tiles.example:8080/street/{z}/{x}/{y}.png")
        'https://tiles.example:8080'
    """
    parts = urlsplit(tiles)
    plain = all(tiles.count(f"{{{name}}}") == 1 for name in "zxy") and tiles.count("{") == tiles.count("}") == 3
    address = parts.scheme in ("http", "https") and re.fullmatch(r"[\w.-]+(:\d+)?", parts.netloc, re.ASCII)
    if not (plain and address and re.fullmatch(r"[!-~]+", tiles) and not re.search(r"[\"'<>;,\\\\]", tiles)):
        raise CrossbandError(
            "tiles are named as in https://tiles.example/{z}/{x}/{y}.png, with each of the three once",
            parameter="tiles",
        )
    return f"{parts.scheme}://{parts.netloc}"


def check_there(path: Path | None, what: str) -> None:
    """Check that a path is there, if one is given.

    Raises:
        CrossbandError: it is not.

    Example:
        >>> check_there(None, "map")
    """
    if path is not None and not path.exists():
        said = f"folder of {what}" if what in ("models", "reports") else what
        raise CrossbandError(f"there is no {said} at {path}; name one that is there", parameter=what)


def named_folders(folders: list[Path], what: str) -> dict[str, Path]:
    """Name folders by their last part, numbered where two would be one.

    Raises:
        CrossbandError: one that is not there.

    Example:
        >>> list(named_folders([Path("."), Path(".")], "gallery"))[1].endswith("-2")
        True
    """
    for folder in folders:
        check_there(folder, what)
    return dict(zip(_names([folder.resolve().name for folder in folders], what), folders, strict=True))


def named_galleries(galleries: Sequence[str]) -> dict[str, str | Path]:
    """Name galleries by the last part of their addresses, as :func:`named_folders` names folders.

    Raises:
        CrossbandError: a folder that is not there, or no address of a gallery.

    Example:
        >>> named_galleries(["s3://bucket/north", "milvus://localhost:19530/north"])
        {'north': 's3://bucket/north', 'north-2': 'milvus://localhost:19530/north'}
    """
    from ..retrieval.gallery.homes import home_of

    folders = [home_of(gallery).folder for gallery in galleries]
    named_folders([folder for folder in folders if folder is not None], "gallery")
    lasts = [
        gallery.rstrip("/").rpartition("/")[2] if folder is None else folder.resolve().name
        for gallery, folder in zip(galleries, folders, strict=True)
    ]
    return dict(zip(_names(lasts, "gallery"), galleries, strict=True))


def _names(lasts: Sequence[str], what: str) -> list[str]:
    """Names that an address may hold, each once."""
    found: list[str] = []
    for last in lasts:
        plain = "".join(s if s.isalnum() or s in "-_." else "-" for s in last).strip(".") or what
        name, number = plain, 1
        while name in found:
            number += 1
            name = f"{plain}-{number}"
        found.append(name)
    return found
