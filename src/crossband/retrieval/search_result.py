"""What a search of a gallery found, of one query or of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd
import PIL.Image

from ..errors import ImageFault
from ..files import write_file
from ..io import Image
from ..reports.strips import Tile, save_picture, strip
from ..results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .gallery.exact import Match

__all__ = ["SearchResult"]

_MOST_ROWS = 50  # of a picture: a JPEG has 65,535 pixels a side


@dataclass(frozen=True, repr=False)
class SearchResult(Result):
    """The matches of one query or of many; as a sequence, all matches, query after query, nearest first.

    Attributes:
        queries: the name of each query: its path, or ``image 1`` and so on.
        band: of the queries.
        found: the matches of each query, nearest first.
        images: the queries themselves, paths or pixels.
        faults: queries that cannot be used, each with its reason; there is nothing else here of them.
    """

    queries: list[str]
    band: str
    found: list[list[Match]]
    images: list[str | Path | Image]
    faults: list[ImageFault] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.found))

    def __iter__(self) -> Iterator[Match]:
        return (match for matches in self.found for match in matches)

    @overload
    def __getitem__(self, index: int) -> Match: ...
    @overload
    def __getitem__(self, index: slice) -> list[Match]: ...
    def __getitem__(self, index: int | slice) -> Match | list[Match]:
        return list(self)[index]

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"band", "queries": [{"query", "matches": [...]}]}``."""
        pairs = zip(self.queries, self.found, strict=True)
        listed = [{"query": name, "matches": [match.to_dict() for match in found]} for name, found in pairs]
        return {"band": self.band, "queries": listed}

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each match: its query, rank, frame, band, path, distance and metadata."""
        return pd.DataFrame(self.to_rows())

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one plain mapping for each match, query after query, nearest first."""
        pairs = zip(self.queries, self.found, strict=True)
        return [{"query": name, **match.to_dict()} for name, found in pairs for match in found]

    def save_csv(self, path: str | Path) -> Path:
        """Write one row for each match.

        Raises:
            CrossbandError: the file cannot be written.
        """
        table = self.to_pandas()
        return write_file(path, lambda partial: table.to_csv(partial, index=False))

    def strip(self) -> PIL.Image.Image:
        """Return each query and its matches side by side, a row for each of the first fifty queries."""
        rows = []
        for name, image, found in list(zip(self.queries, self.images, self.found, strict=True))[:_MOST_ROWS]:
            row = [Tile(image, self.band, "query", f"{self.band}  {Path(name).name}")]
            for match in found:
                detail = f"{match.band}  distance {match.distance:.3f}"
                row.append(Tile(match.path, match.band, f"{match.rank}.  {match.frame}", detail))
            rows.append(row)
        return strip(rows)

    def plot(self) -> Figure:
        """Draw :meth:`strip` as a figure."""
        from ..reports.plots import picture_figure

        return picture_figure(self.strip())

    def save_strip(self, path: str | Path) -> Path:
        """Write :meth:`strip`, as JPEG or PNG by the name.

        Raises:
            CrossbandError: the file cannot be written.
        """
        return save_picture(self.strip(), path)

    def report(self, folder: str | Path) -> Path:
        """Write ``search.json``, ``search.csv`` and ``matches.jpg`` into a folder; gives the folder."""
        out = Path(folder)
        self.to_json(out / "search.json")
        self.save_csv(out / "search.csv")
        self.save_strip(out / "matches.jpg")
        return out


def as_images(images: Any) -> Sequence[Any]:
    """Return one image or many as many; a path, an array of 2 or 3 axes and a PIL image are one."""
    one = isinstance(images, str | Path | Image | PIL.Image.Image) or getattr(images, "ndim", 0) in (2, 3)
    return [images] if one else list(images)
