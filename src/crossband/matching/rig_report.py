"""rig.html: what one transform does to the pairs of two cameras, and what depth does to the transform."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import PIL.Image
from matplotlib.figure import Figure

from .. import __version__
from ..errors import CrossbandError
from ..files import write_file
from ..io import read_image
from ..reports.alignment import outlines
from ..reports.plots import PALETTE, Drawing
from ..reports.strips import thumbnail
from .align import corner_error
from .residuals import Residuals

if TYPE_CHECKING:
    from .rig import Rig, RigFit

__all__ = ["write_rig_report"]

_SHOWN = 6  # pairs
_WIDE = 420  # pixels of a picture
_ACROSS = 8  # cells of the field of residuals
_POINTS = 4000


@dataclass(frozen=True)
class _Line:
    """A row of the table of pairs."""

    name: str
    off: float | None
    error: float | None
    inliers: int | None
    same_place: float | None
    reason: str


def write_rig_report(fit: RigFit, out: Path) -> Path:
    """Write ``rig.html``; see :class:`.rig.RigFit`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crossband", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rig, residuals = fit.rig, fit.residuals
    bins = residuals.by_depth()
    meters = bool(bins) and bins[0].label.endswith(" m")
    field, scale = _field_plot(residuals, rig)
    page = environment.get_template("rig.html.jinja").render(
        version=__version__,
        title=fit.frames.root.resolve().name,
        rig=rig,
        noise=residuals.noise_px,
        depth_says=_says(rig, residuals),
        depth_about="Depth is the frames' own."
        if meters
        else "The frames have no depth, so rows of the image stand for it: its bottom is near.",
        depth_plot=_address(_depth_plot(residuals, meters)),
        field_plot=_address(field),
        field_scale=f"{scale:.0f}",
        bins=bins,
        bins_about="depth" if meters else "rows, from the bottom",
        overlays=_overlays(fit),
        lines=_lines(fit),
    )
    return write_file(out / "rig.html", page)


def _says(rig: Rig, residuals: Residuals) -> str:
    x, y = residuals.direction
    told = (
        f"Depth moves matches by {rig.parallax_px:.1f} pixels (a deviation) along ({x:.2f}, {y:.2f}), beyond a "
        f"noise of {residuals.noise_px:.1f}."
    )
    if rig.one_transform:
        return told
    return told + " Near and far things cannot lie on one another at once, or the cameras moved between pairs."


def _lines(fit: RigFit) -> list[_Line]:
    size = fit.rig.first[1]
    found = []
    for name, one in fit.found.items():
        off = corner_error(one.matrix, fit.rig.matrix, size)
        reason = fit.rig.left_out.get(name, "")
        found.append(_Line(name, off, one.error_px, one.inliers, one.same_place, reason))
    found += [
        _Line(name, None, None, None, None, reason)
        for name, reason in fit.rig.left_out.items()
        if name not in fit.found
    ]
    return sorted(found, key=lambda line: (not line.reason, -(line.off or 0)))


def _overlays(fit: RigFit) -> list[tuple[str, str]]:
    """Pairs before and after: the farthest from the rig, and some at equal steps."""
    rig = fit.rig
    paths = {
        name: (ours, theirs)
        for name, ours, theirs in zip(
            fit.frames.names, fit.frames.paths(rig.first[0]), fit.frames.paths(rig.second[0]), strict=True
        )
    }
    some = rig.pairs[:: max(1, len(rig.pairs) // _SHOWN)][:_SHOWN]
    found = []
    for name in some:
        ours, theirs = paths[name]
        if ours is None or theirs is None:
            continue
        try:
            found.append((name, _address(_overlay(rig, ours, theirs))))
        except CrossbandError:  # gone since
            continue
    return found


def _overlay(rig: Rig, ours: Path, theirs: Path) -> PIL.Image.Image:
    import cv2

    first, second = (
        np.asarray(thumbnail(read_image(path, band), band, (1 << 14, 1 << 14)).convert("L"), np.float32) / 255
        for path, (band, _) in ((ours, rig.first), (theirs, rig.second))
    )
    height, width = rig.first[1]
    size = (_WIDE, max(1, round(_WIDE * height / width)))
    images = (first, second, rig.warp(second, rig.second[0]))
    first, stretched, warped = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images)
    seen = cv2.erode(cv2.resize(rig.warp(np.ones_like(second), rig.second[0]), size), np.ones((7, 7)))
    rows, columns = np.mgrid[: size[1], : size[0]]
    board = np.where((rows // 42 + columns // 42) % 2 == 0, first, warped)
    after = outlines(first, warped)
    after[..., 1] *= seen > 0.99  # where the second camera saw nothing there is an edge that is none
    parts = [outlines(first, stretched), after, np.repeat(board[..., None], 3, 2)]
    gap = np.ones((size[1], 8, 3), np.float32)
    whole = np.concatenate([parts[0], gap, parts[1], gap, parts[2]], 1)
    return PIL.Image.fromarray((whole.clip(0, 1) * 255).astype(np.uint8))


def _depth_plot(residuals: Residuals, meters: bool) -> Figure:
    figure = Drawing(figsize=(5.6, 3.6), layout="constrained", dpi=130)
    ax = figure.subplots()
    step = max(1, len(residuals.where) // _POINTS)
    value = residuals.depth if meters and residuals.depth is not None else residuals.where[:, 1]
    for numbers, color, label in (
        (residuals.across, PALETTE[6], f"across, deviation {residuals.noise_px:.1f}"),
        (residuals.along, PALETTE[0], "along"),
    ):
        ax.plot(value[::step], numbers[::step], ".", ms=2.5, color=color, alpha=0.45, label=label)
    _binned(ax, value, residuals.along)
    ax.axhline(0, color="#888888", lw=0.8)
    ax.set(ylabel="residual, pixels", xlabel="depth, meters" if meters else "row of the image")
    if meters:
        ax.set_xscale("log")
    else:
        ax.invert_xaxis()
    limit = 4 * max(float(np.median(np.abs(residuals.along))) * 1.4826, 0.5) if len(residuals.off) else 1
    ax.set_ylim(-limit, limit)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside lower center", ncols=3, markerscale=2)
    return figure


def _binned(ax: object, value: np.ndarray, along: np.ndarray) -> None:
    """The median along in ten bins of equal count."""
    good = np.isfinite(value)
    if good.sum() < 50:
        return
    order = np.argsort(value[good])
    middles = [
        (float(np.median(value[good][part])), float(np.median(along[good][part])))
        for part in np.array_split(order, 10)
    ]
    ax.plot(*zip(*middles, strict=True), "o-", color=PALETTE[1], ms=4, label="median along")  # type: ignore[attr-defined]


def _field_plot(residuals: Residuals, rig: Rig) -> tuple[Figure, float]:
    """The median residual of each part of the image, and how many times it is enlarged."""
    height, width = rig.first[1]
    down = max(2, round(_ACROSS * height / width))
    cell = np.array([width / _ACROSS, height / down])
    which = np.minimum((residuals.where / cell).astype(int), (_ACROSS - 1, down - 1))
    rows = []
    for x in range(_ACROSS):
        for y in range(down):
            mine = (which == (x, y)).all(1)
            if mine.sum() >= 5:
                rows.append([*((np.array([x, y]) + 0.5) * cell), *np.median(residuals.off[mine], axis=0)])
    table = np.array(rows).reshape(-1, 4)
    longest = float(np.hypot(table[:, 2], table[:, 3]).max(initial=0))
    scale = max(1.0, float(np.floor(0.8 * cell.min() / max(longest, 1e-6))))
    figure = Drawing(figsize=(5.6, 5.6 * height / width + 0.3), layout="constrained", dpi=130)
    ax = figure.subplots()
    ax.quiver(*table.T, angles="xy", scale_units="xy", scale=1 / scale, color=PALETTE[0], width=0.006) if len(
        table
    ) else None
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
    return figure, scale


def _address(picture: PIL.Image.Image | Figure) -> str:
    """A picture in a data address."""
    file = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(file, format="png")
        kind = "png"
    else:
        picture.save(file, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode()
