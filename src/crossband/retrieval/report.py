"""report.html: one page that holds everything it shows and asks nothing of any network."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jinja2
import PIL.Image

from .. import __version__
from ..datasets import list_datasets
from ..files import write_file
from ..frames import Frames
from ..reports.strips import Tile, strip
from .explain_section import Chart, sections
from .figures import plot_reliability, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .benchmark import Benchmark
    from .directions import RouteMatches
    from .explain import Explanation
    from .figures import Ink
    from .measure import Run


class Published(Protocol):
    """A paper's figures of a run, in percent."""

    @property
    def recall_1(self) -> float:
        """R@1."""

    @property
    def recall_5(self) -> float:
        """R@5."""

    @property
    def cka(self) -> float | None:
        """Linear CKA, or ``None``."""


LookUp = Callable[[str, str], "Published | None"]
"""A dataset and a model -> a paper's figures of them."""

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Line:
    """A row of the report's table: a run and the paper's figures for it."""

    run: Run
    paper: Published | None
    best: bool


def write_report(
    result: Benchmark,
    frames: Frames,
    out: str | Path,
    explanation: Explanation | None = None,
    published: LookUp | None = None,
) -> Path:
    """Write ``report.html`` of a benchmark, or ``explanation.html`` of an explanation; return the file."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crossband", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    best_first = sorted(result.runs, key=lambda run: -run.recall["1"])
    ways = list(dict.fromkeys((run.query_band, run.gallery_band) for run in result.runs))
    page = environment.get_template("report.html.jinja").render(
        version=__version__,
        protocol=result.protocol,
        title=frames.root.resolve().name,
        bands=[band.value for band in frames.bands],
        tables=[(way, _lines(result, frames, way, published)) for way in ways],
        maps=_maps(best_first),
        strips=[(run, _strip(run, frames)) for run in best_first if run.examples],
        faults=result.faults,
        sizes=sorted({run.size for run in result.runs}),
        comparisons=result.comparisons,
        trusted=_trusted(result),
        sections=[] if explanation is None else sections(explanation, frames),
    )
    return write_file(Path(out) / ("report.html" if explanation is None else "explanation.html"), page)


def _maps(best_first: list[Run]) -> list[Chart]:
    """The map of the best run of each direction, where positions say what is right."""
    shown: dict[tuple[str, str], Chart] = {}
    for run in best_first:
        way, found = (run.query_band, run.gallery_band), run.matches
        if found is not None and way not in shown:
            text = f"{run.model}, {way[0]} to {way[1]}"
            shown[way] = Chart(*themed(partial(_map, found)), text, f"Map of the matches by {text}")
    return list(shown.values())


def _map(found: RouteMatches, ink: Ink) -> Figure:
    from .route_map import plot_route_map

    return plot_route_map(found.queries, found.gallery, found.rows, found.threshold, ink=ink)


def _trusted(result: Benchmark) -> list[tuple[Run, dict[str, Any], tuple[str, str]]]:
    """The runs that say how probable one place is: what that is worth, and its diagram for both pages."""
    found = []
    for run in result.runs:
        if run.same_place is not None:
            told: dict[str, Any] = run.same_place
            found.append((run, told, themed(partial(plot_reliability, told["bins"]))))
    return found


def _lines(result: Benchmark, frames: Frames, way: tuple[str, str], published: LookUp | None) -> list[_Line]:
    known = next((entry.name for entry in list_datasets() if entry.found_in(frames.root)), "")
    runs = [run for run in result.runs if (run.query_band, run.gallery_band) == way]
    top = max(run.recall["1"] for run in runs)
    exact = result.protocol["positives"] == "exact"
    return [
        _Line(run, _paper(known, run, published) if exact and published else None, run.recall["1"] == top)
        for run in sorted(runs, key=lambda run: -run.recall["1"])
    ]


def _paper(dataset: str, run: Run, published: LookUp) -> Published | None:
    """The paper's figures for a run that was made as the paper's: RGB query, thermal gallery, 320x320."""
    same = (run.query_band, run.gallery_band) == ("rgb", "tir") and run.size == (320, 320)
    return published(dataset, run.model) if same else None


def _strip(run: Run, frames: Frames) -> tuple[str, str]:
    """The examples of a run as a picture in a data address, for a light and for a dark page."""
    where = {
        band: dict(zip(frames.names, frames.paths(band), strict=True))
        for band in (run.query_band, run.gallery_band)
    }
    rows = []
    for example in run.examples:
        note = "found first" if example.rank == 1 else f"its match ranks {example.rank}"
        row = [Tile(where[run.query_band][example.query] or "", run.query_band, f"query {example.query}", note)]
        for rank, (name, distance, right) in enumerate(example.found, 1):
            path = where[run.gallery_band][name] or ""
            mark = True if right else (False if rank < example.rank else None)
            row.append(Tile(path, run.gallery_band, f"{rank}.  {name}", f"distance {distance:.3f}", mark))
        rows.append(row)
    return jpeg_address(strip(rows)), jpeg_address(strip(rows, dark=True))


def jpeg_address(picture: PIL.Image.Image) -> str:
    """Return a picture as a data address, JPEG."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
