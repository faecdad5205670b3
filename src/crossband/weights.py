"""Find, verify and load weights; nothing is unpickled and no network is assumed.

They are looked for in this order: the file or folder given, the folder
``CROSSBAND_WEIGHTS``, an installed package that carries them, the caches of torchvision and the hub,
and then a download, unless ``CROSSBAND_OFFLINE`` is set.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .errors import CrossbandError, MissingWeightsError

__all__ = ["WeightsSource", "file_digest", "find_weights", "load_state_dict"]

_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".torch", ".pth.tar")
_HOLDS = (
    "state_dict_ema",
    "state_dict",
    "model_state_dict",
    "student_model_state_dict",
    "backbone_model_state_dict",
    "model",
    "trunk",
    "extractor",
)
_TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights of one model can come from.

    Attributes:
        name: the stem of their file in a folder: ``NAME.safetensors``, ``.pth``, ...
        url: the publisher's file; torchvision's have the first digits of their SHA-256 in their names.
        hub: the ``(repository, file name)`` on the Hugging Face hub; only safetensors are read there.
        package: a function that gives the file inside an installed package, or ``None``.
        first: a stem that is looked for before ``name``, where several publishers use the same name.
    """

    name: str
    url: str | None = None
    hub: tuple[str, str] | None = None
    package: Callable[[], Path | None] | None = None
    first: str | None = None

    @property
    def file_name(self) -> str:
        """The name of the file as its publisher calls it."""
        if self.url:
            return self.url.rsplit("/", 1)[-1]
        return "/".join(self.hub) if self.hub else f"{self.name}.safetensors"


def find_weights(source: WeightsSource, given: str | Path | None = None, download: bool = True) -> Path:
    """Find the weights file of a model; see the module for the order.

    Args:
        source: where they can come from.
        given: a file, or a folder that holds them.
        download: whether to try the network last.

    Raises:
        CrossbandError: nowhere, and the sentence names the file, where it was looked for, and how to get it; or
            what is given is neither a file nor a folder.
    """
    if given is not None and Path(given).is_file():
        return Path(given)
    if given is not None and not Path(given).is_dir():
        raise MissingWeightsError(
            f"no weights at {given}; give a file, or a folder that holds them", parameter="weights"
        )
    path = locate_weights(source, given)
    if path is not None:
        return path
    failure = "downloads are off"
    if download and not os.environ.get("CROSSBAND_OFFLINE"):
        try:
            with _timeout(_TIMEOUT_SECONDS):
                return _download(source)
        except Exception as error:
            failure = f"the download failed: {' '.join(str(error).split())[:80] or type(error).__name__}"
    names = dict.fromkeys(f"{stem}.safetensors" for stem in (source.first, source.name) if stem)
    wanted = " or ".join(dict.fromkeys([*names, source.file_name]))
    places = [str(given)] if given is not None else []
    places += [f"CROSSBAND_WEIGHTS ({os.environ.get('CROSSBAND_WEIGHTS', 'unset')})", "the caches"]
    raise MissingWeightsError(
        f"no weights for {source.name}: looked for {wanted} in "
        f"{', '.join(places)} ({failure}); get the file and give its folder as the weights",
        parameter="weights",
    )


def locate_weights(source: WeightsSource, given: str | Path | None = None) -> Path | None:
    """Locate the weights file on this machine, without any download; ``None`` if absent."""
    for folder in (given, os.environ.get("CROSSBAND_WEIGHTS")):
        for stem, suffix in itertools.product(filter(None, (source.first, source.name)), _SUFFIXES):
            path = Path(folder or "") / f"{stem}{suffix}"
            if folder and path.is_file():
                return path
        if folder and source.url and (Path(folder) / source.file_name).is_file():
            return Path(folder) / source.file_name
    packaged = source.package() if source.package is not None else None
    if packaged is not None:
        return packaged
    if source.url:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / source.file_name
        return cached if cached.is_file() else None
    if source.hub:
        import huggingface_hub

        found = huggingface_hub.try_to_load_from_cache(*source.hub)
        return Path(found) if isinstance(found, str) else None
    return None


def load_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Load the tensors of a safetensors file, or of a ``.pth`` read without unpickling objects.

    Raises:
        CrossbandError: the file is damaged or holds anything but tensors.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = _read_torch(path)
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise CrossbandError(f"{path} holds no weights that can be loaded safely: {reason}") from None
    for key in _HOLDS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CrossbandError(f"{path} is not a state dict (a mapping from names to tensors)")
    return state


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the file's age; it is refused or it is read
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError):
        raise
    except Exception:  # whatever a file that is none makes the reader stumble over
        raise RuntimeError("it is damaged, or holds pickled objects, which are never loaded") from None


def file_digest(path: str | Path) -> str:
    """Compute the SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(source: WeightsSource) -> Path:
    if not (source.url or source.hub):
        raise CrossbandError("no download is available for it")
    _check_network(source)
    if source.url:
        target = Path(torch.hub.get_dir()) / "checkpoints" / source.file_name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([0-9a-f]{8,})\.", source.file_name)  # torchvision's way; others have none
        torch.hub.download_url_to_file(source.url, str(target), hash_prefix=digest[1] if digest else None)
        return target
    import huggingface_hub

    assert source.hub is not None
    return Path(huggingface_hub.hf_hub_download(*source.hub))


def _check_network(source: WeightsSource) -> None:
    """Fail at once, and quietly, where there is no network: the hub's client tries for half a minute."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return  # the proxy answers, or says why not
    from huggingface_hub import constants

    host = urllib.parse.urlsplit(source.url or constants.ENDPOINT).hostname
    try:
        socket.create_connection((host, 443), timeout=_TIMEOUT_SECONDS).close()
    except OSError:
        raise CrossbandError("no network") from None


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """No connection made inside waits for longer than this."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
