"""The page of a search in a flight: one file with the photograph, the map, and each object's frames."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import PIL.Image
import PIL.ImageDraw

from .. import __version__
from ..files import write_file
from .answer import ObjectMatch, ellipse
from .figure import close_up, map_figure

if TYPE_CHECKING:
    from .pipeline import Searched
    from .translate import Photograph

__all__ = ["write_page"]

_OBJECTS, _FRAMES = 10, 6  # that the page shows, of each object
_SIDE = 112  # pixels of a crop


@dataclass(frozen=True)
class _Card:
    """An object on the page."""

    match: ObjectMatch
    ellipse: tuple[float, float, float] | None
    crops: list[tuple[str, str]]


def write_page(folder: Path, searched: Searched) -> Path:
    """Write ``report.html``, which needs no other file."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crossband", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result = searched.result
    buffer = BytesIO()
    map_figure(searched).savefig(buffer, dpi=100, format="png")
    page = environment.get_template("flight.html.jinja").render(
        version=__version__,
        title=searched.flight.source.resolve().name,
        result=result,
        photograph=_address(_asked(searched.photograph)),
        translation=None
        if searched.thermal is None
        else _address(_enlarged(_gray(searched.thermal.kelvin), 220)),
        map=_data(buffer.getvalue()),
        cards=[_card(one, searched) for one in result.matches[:_OBJECTS]],
    )
    return write_file(folder / "report.html", page)


def _asked(photograph: Photograph) -> PIL.Image.Image:
    """The photograph with its object's box."""
    pixels = (photograph.pixels.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    shown = _enlarged(PIL.Image.fromarray(pixels), 320).convert("RGB")
    scale = shown.width / pixels.shape[1]
    PIL.ImageDraw.Draw(shown).rectangle([scale * value for value in photograph.box], outline="#d11", width=2)
    return shown


def _card(match: ObjectMatch, searched: Searched) -> _Card:
    best = sorted(match.sightings, key=lambda one: one.distance)[:_FRAMES]
    crops = [(one.frame, _address(_crop(searched, one.frame, one.box))) for one in best]
    return _Card(match, None if match.covariance is None else ellipse(match.covariance), crops)


def _crop(searched: Searched, frame: str, box: tuple[float, float, float, float]) -> PIL.Image.Image:
    return _gray(close_up(searched.flight, frame, box)).resize((_SIDE, _SIDE), PIL.Image.Resampling.BILINEAR)


def _gray(values: np.ndarray) -> PIL.Image.Image:
    low, high = np.percentile(values, (1, 99))
    return PIL.Image.fromarray((((values - low) / max(high - low, 1e-6)).clip(0, 1) * 255).astype(np.uint8))


def _enlarged(picture: PIL.Image.Image, side: int) -> PIL.Image.Image:
    """At the size at which the page shows it; small ones larger, by whole pixels."""
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, PIL.Image.Resampling.NEAREST if scale > 1 else PIL.Image.Resampling.LANCZOS)


def _address(picture: PIL.Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return _data(buffer.getvalue())


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
