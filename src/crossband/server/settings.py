"""What a server serves, and within which limits."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ..errors import CrossbandError

__all__ = ["Settings", "named_folders"]

_LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")


class Settings(BaseModel):
    """Everything that a server is told.

    Attributes:
        galleries: name -> folder.
        flights: name -> folder of a thermal flight, or of what the chain found in one.
        map: semantic map or GeoTIFF that positions are drawn on.
        models: folder of networks of the flight's chain; ``segmentation`` and ``detection`` are taken from it too.
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

    galleries: dict[str, Path]
    flights: dict[str, Path] = Field(default_factory=dict)
    map: Path | None = None
    models: Path | None = None
    reports: dict[str, Path] = Field(default_factory=dict)
    folders: dict[str, Path] = Field(default_factory=dict)
    state: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    names: tuple[str, ...] = ()
    token: SecretStr | None = None
    writable: bool = False
    behind_proxy: bool = False
    upload_bytes: int = Field(64 << 20, ge=1 << 10)
    upload_pixels: int = Field(50_000_000, ge=1)
    decoders: int = Field(2, ge=1, le=64)
    decoder_bytes: int = Field(3 << 30, ge=1 << 29)
    decoder_seconds: float = Field(20, gt=0)
    seconds: float = Field(120, gt=0)
    requests: int = Field(6000, ge=0)
    searches: int = Field(600, ge=0)
    kept_bytes: int = Field(256 << 20, ge=1 << 20)
    memory: int = Field(2 << 30, ge=1 << 24)
    device: str = "cpu"
    log: bool = True

    def allowed_hosts(self) -> frozenset[str]:
        """Return the hosts that a request may name: a page of another site that points its own name here is none.

        Example:
            >>> sorted(Settings(galleries={}, names=("images.example",)).allowed_hosts())[-2:]
            ['images.example', 'localhost']
        """
        own = () if _is_any(self.host) else (self.host.lower(),)
        return frozenset((*_LOCAL, *own, *(name.lower() for name in self.names)))


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def named_folders(folders: list[Path], what: str) -> dict[str, Path]:
    """Name folders by their last part, numbered where two would be one.

    Raises:
        CrossbandError: one that is not there.

    Example:
        >>> list(named_folders([Path("."), Path(".")], "gallery"))[1].endswith("-2")
        True
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.exists():
            raise CrossbandError(f"there is no {what} at {folder}; name a folder that is there", parameter=what)
        plain = "".join(s if s.isalnum() or s in "-_." else "-" for s in folder.resolve().name).strip(".")
        name = plain = plain or what
        number = 1
        while name in found:
            number += 1
            name = f"{plain}-{number}"
        found[name] = folder
    return found
