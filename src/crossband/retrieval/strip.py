"""The strip of a search: the query and its matches, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import CrossbandError
from ..reports.strips import Tile, strip
from .gallery.gallery import Match

__all__ = ["save_matches"]


def save_matches(query: str | Path, band: str, matches: Sequence[Match], path: str | Path) -> Path:
    """Write the strip of a query and its matches, as JPEG or PNG by the name.

    Raises:
        CrossbandError: the file cannot be written.
    """
    tiles = [Tile(query, band, "query", f"{band}  {Path(query).name}")]
    for match in matches:
        detail = f"{match.band}  distance {match.distance:.3f}"
        tiles.append(Tile(match.path, match.band, f"{match.rank}.  {match.frame}", detail))
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        strip([tiles]).save(path, quality=90)
    except (OSError, ValueError) as error:
        raise CrossbandError(f"cannot write {path} ({error}); give a name ending in .jpg or .png") from None
    return Path(path)
