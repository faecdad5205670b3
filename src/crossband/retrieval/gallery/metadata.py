"""What ``gallery.json`` says of a gallery, checked."""

from __future__ import annotations

import json
from typing import Any

from ...errors import CrossbandError, DamagedFileError
from .coding import DTYPES, stored_dtype
from .homes import METADATA_FILE, Home

__all__ = ["FORMAT", "check_dtype", "read_metadata"]

FORMAT = "crossband-gallery-1"


def check_dtype(dtype: str) -> None:
    """Refuse a dtype that no gallery has."""
    if dtype not in DTYPES:
        raise CrossbandError(f"a gallery holds {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not {dtype!r}")


def read_metadata(home: Home) -> dict[str, Any]:
    """Read and check ``gallery.json``.

    Raises:
        CrossbandError: no gallery there, a damaged one, or one of another version.
    """
    data = home.read_file(METADATA_FILE)
    if data is None:
        raise CrossbandError(f"no gallery at {home}; crossband index makes one")
    path = f"{home}/{METADATA_FILE}"
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedFileError(
            f"no gallery: {path} is damaged; index into another", parameter="gallery"
        ) from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise CrossbandError(f"{home} holds no gallery that this version reads; index it again")
    dtype, scale = metadata.get("dtype"), metadata.get("scale")
    number = scale if isinstance(scale, int | float) and not isinstance(scale, bool) else -1
    scaled = 0 < number < 1e30 if dtype in DTYPES and stored_dtype(dtype) == "int8" else number == 0
    if dtype not in DTYPES or not scaled or not isinstance(metadata.get("crossband"), str):
        raise DamagedFileError(
            f"no gallery: {path} does not say dtype, scale and version as crossband writes them; "
            "index into another",
            parameter="gallery",
        )
    return metadata
