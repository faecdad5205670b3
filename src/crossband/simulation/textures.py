"""Grain of materials and windows of facades, drawn where rays have hit; all repeatable to the bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .buildings import Building
from .materials import M, column
from .raycast import Surfaces

__all__ = ["FacadeTable", "cloud_cover", "draw_facades", "draw_grain", "hash01", "noise"]

_TILE = 512


def hash01(a: np.ndarray, b: np.ndarray | int = 0, c: np.ndarray | int = 0) -> np.ndarray:
    """Hash each tuple of integers to [0, 1), float32; the same on every machine.

    Example:
        >>> bool(0 <= hash01(np.array([7]), 1, 2)[0] < 1)
        True
    """
    h = np.asarray(a).astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= np.asarray(b).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.asarray(c).astype(np.uint32) * np.uint32(0xC2B2AE3D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
    """Fractal noise of mean 0 and deviation 1 that repeats every 512 texels, float32."""
    rng = np.random.default_rng(20)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_TILE), np.fft.fftfreq(_TILE)))
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=(_TILE, _TILE))) / frequency**0.8
    spectrum[0, 0] = 0
    tile = np.real(np.fft.ifft2(spectrum))
    return np.clip(tile / tile.std(), -3, 3).astype(np.float32)


def noise(x: np.ndarray, y: np.ndarray, texel: float, *, smooth: bool = False) -> np.ndarray:
    """Compute fractal noise, mean 0 and deviation 1, at points in meters.

    Without ``smooth`` texels are not interpolated: they should be smaller than a pixel.
    """
    x, y = x * np.float32(1 / texel), y * np.float32(1 / texel)
    column_, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    tile = _noise_tile().ravel()

    def texels(dx: int, dy: int) -> np.ndarray:
        return tile[((row + dy) & (_TILE - 1)) * _TILE + ((column_ + dx) & (_TILE - 1))]

    if not smooth:
        return texels(0, 0)
    u, v = (x - column_).astype(np.float32), (y - row).astype(np.float32)
    return (texels(0, 0) * (1 - u) + texels(1, 0) * u) * (1 - v) + (
        texels(0, 1) * (1 - u) + texels(1, 1) * u
    ) * v


def draw_grain(surfaces: Surfaces, distance: np.ndarray) -> np.ndarray:
    """Give surfaces the grain of their material; changes color and NIR in place.

    Args:
        surfaces: what was hit.
        distance: ``(n,)`` meters; fine grain fades with it.

    Returns:
        ``(n,)`` float32, mean 0: the same grain for temperatures, where darker spots are warmer.
    """
    p, n = surfaces.position, surfaces.normal
    level = np.abs(n[:, 2]) > 0.6
    x = np.where(level, p[:, 0], np.where(np.abs(n[:, 0]) > np.abs(n[:, 1]), p[:, 1], p[:, 0]))
    y = np.where(level, p[:, 1], p[:, 2])
    strength = column("grain")[surfaces.material]
    fine = np.clip(1.2 - distance / 25, 0, 1)
    grain = 0.45 * noise(x, y, 0.13, smooth=True) + 0.35 * fine * noise(y + 3.7, x + 1.3, 0.019)
    grain += 0.45 * noise(x + 11.0, y - 5.0, 0.83, smooth=True)
    factor = np.clip(1 + strength * grain, 0.3, 1.9).astype(np.float32)
    _draw_joints(surfaces, x, y, level, distance, factor)
    surfaces.color *= factor[:, None]
    surfaces.nir *= 0.4 + 0.6 * factor
    return grain * strength


def _draw_joints(
    surfaces: Surfaces,
    x: np.ndarray,
    y: np.ndarray,
    level: np.ndarray,
    distance: np.ndarray,
    factor: np.ndarray,
) -> None:
    """Joints of slabs and bricks and the rows of tiles, where a pixel is smaller than they are."""
    near = distance < 22
    for material, width, height, joint, tone in (
        (M.PAVING, 0.6, 0.6, 0.025, 0.72),
        (M.BRICK, 0.25, 0.083, 0.012, 1.35),
        (M.CURB, 1.0, 9.0, 0.02, 0.7),
        (M.ROOF_TILE, 0.3, 0.33, 0.03, 0.65),
    ):
        rows = np.flatnonzero((surfaces.material == material) & near)
        if not len(rows):
            continue
        line = np.floor(y[rows] / height)
        u = (x[rows] / width + 0.5 * (line % 2)) % 1 * width
        v = y[rows] / height % 1 * height
        fade = np.clip(1.6 - distance[rows] / 14, 0, 1)
        in_joint = (u < joint) | (v < joint)
        factor[rows] *= np.where(in_joint, 1 + (tone - 1) * fade, 1)
        slab = hash01(np.floor(x[rows] / width + 0.5 * (line % 2)).astype(np.int64), line.astype(np.int64))
        factor[rows] *= 1 + 0.16 * fade * (slab - 0.5)


class FacadeTable:
    """The numbers of all buildings as arrays by instance number, for windows to be drawn at once."""

    def __init__(self, buildings: tuple[Building, ...]) -> None:
        size = max((b.number for b in buildings), default=0) + 1

        def by_number(value: object) -> np.ndarray:
            table = np.zeros(size, np.float32)
            for b in buildings:
                table[b.number] = value(b)  # type: ignore[operator]
            return table

        self.x0, self.y0 = by_number(lambda b: b.low[0]), by_number(lambda b: b.low[1])
        self.x1, self.y1 = by_number(lambda b: b.high[0]), by_number(lambda b: b.high[1])
        self.floor = by_number(lambda b: b.floor_height)
        self.floors = by_number(lambda b: b.floors)
        self.bay = by_number(lambda b: b.bay)
        self.window_width = by_number(lambda b: b.window[0])
        self.window_height = by_number(lambda b: b.window[1])
        self.style = by_number(lambda b: b.style)
        self.shop = by_number(lambda b: b.shop)
        self.leak = by_number(lambda b: b.leak)


def draw_facades(surfaces: Surfaces, table: FacadeTable, lit_share: float) -> np.ndarray:
    """Put windows, doors and ledges on facades; changes material, color, NIR and heat in place.

    Args:
        surfaces: what was hit.
        table: the city's buildings.
        lit_share: share of the windows with light behind them, 0 by day.

    Returns:
        ``(n,)`` float32: light from inside, 0 to 1 of a bright room.
    """
    glow = np.zeros(len(surfaces.hit), np.float32)
    rows = np.flatnonzero(surfaces.facade)
    if not len(rows):
        return glow
    b = surfaces.instance[rows]
    p, n = surfaces.position[rows], surfaces.normal[rows]
    east = np.abs(n[:, 0]) > np.abs(n[:, 1])
    along = np.where(east, p[:, 1] - table.y0[b], p[:, 0] - table.x0[b])
    length = np.where(east, table.y1[b] - table.y0[b], table.x1[b] - table.x0[b])
    side = (np.where(east, n[:, 0] > 0, n[:, 1] > 0) + 2 * east).astype(np.int64)
    bays = np.maximum(np.floor(length / table.bay[b]), 1)
    pitch = length / bays
    i, j = np.floor(along / pitch), np.floor((p[:, 2] - 0.15) / table.floor[b])
    u, v = along / pitch - i, (p[:, 2] - 0.15) / table.floor[b] - j
    cell = hash01((i + 64 * j).astype(np.int64), b, side)
    window, frame = _openings(table, b, i, j, u, v, pitch, bays)
    above = p[:, 2] > table.floors[b] * table.floor[b] + 0.15
    window, frame = window & ~above, frame & ~above
    _paint(surfaces, rows, window, frame, cell, v)
    ledge = ~window & ~frame & ((v < 0.035) | above) & (j > 0)
    surfaces.color[rows[ledge]] *= 0.82
    dirt = 1 - 0.10 * np.clip(1.2 - p[:, 2] / 1.0, 0, 1)
    surfaces.color[rows] *= dirt[:, None]
    leak = table.leak[b]
    below = ~window & (np.abs(u - 0.5) < 0.3) & (v < 0.24) & (cell < 0.6)
    bridge = ~window & ((v < 0.06) | (v > 0.965))
    surfaces.heat[rows] += leak * (0.9 * below + 0.7 * bridge) - 0.4 * frame
    surfaces.heat[rows] = np.where(window, (cell - 0.4) * 2.2, surfaces.heat[rows])
    lit = window & (
        hash01((i + 64 * j).astype(np.int64), b + 977, side)
        < np.where((j == 0) & (table.shop[b] > 0), 0.8, lit_share)
    )
    glow[rows] = np.where(lit & (lit_share > 0), 0.35 + 0.65 * cell, 0) * (0.75 + 0.25 * v)
    return glow


def _openings(
    table: FacadeTable,
    b: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    pitch: np.ndarray,
    bays: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the panes are and where their frames, ``(n,)`` bool each."""
    style, shop = table.style[b], (table.shop[b] > 0) & (j == 0)
    half_w = np.select([shop, style == 1, style == 2], [0.45, 0.478, 0.475], table.window_width[b] / 2)
    half_h = np.select([shop, style == 2], [0.40, 0.455], table.window_height[b] / 2)
    middle = np.select([shop, style == 2], [0.47, 0.5], 0.54)
    du, dv = np.abs(u - 0.5), np.abs(v - middle)
    inside = (du < half_w) & (dv < half_h)
    rim_u, rim_v = 0.055 / pitch, 0.055 / table.floor[b]
    pane = (du < half_w - rim_u) & (dv < half_h - rim_v)
    mullion = (style == 0) & ~shop & (du < 0.5 * rim_u)
    door = (j == 0) & ~shop & (i == np.floor(bays / 2)) & (du < 0.55 / pitch) & (v < 0.74)
    sill = (style == 0) & (j > 0) & (du < half_w + rim_u) & (v > middle - half_h - 0.03) & (v < middle - half_h)
    window = (inside & pane & ~mullion & ~door) & (j >= 0)
    return window, (inside & ~window | sill | door) & (j >= 0)


def _paint(
    surfaces: Surfaces,
    rows: np.ndarray,
    window: np.ndarray,
    frame: np.ndarray,
    cell: np.ndarray,
    v: np.ndarray,
) -> None:
    rgb, nir = column("rgb"), column("nir")
    panes, frames = rows[window], rows[frame]
    surfaces.material[panes] = M.GLASS
    curtain = (v[window] > 0.9 - 0.75 * cell[window] ** 2) & (cell[window] > 0.35)
    behind = np.where(
        curtain[:, None], 0.16 + 0.22 * cell[window][:, None], rgb[M.GLASS] * (0.5 + cell[window][:, None])
    )
    surfaces.color[panes] = behind
    surfaces.nir[panes] = np.where(curtain, 0.3, nir[M.GLASS])
    surfaces.material[frames] = M.FRAME
    tone = np.where(hash01(surfaces.instance[frames], 5) < 0.7, 1.0, 0.25)
    surfaces.color[frames] = rgb[M.FRAME] * tone[:, None]
    surfaces.nir[frames] = nir[M.FRAME] * (0.5 + 0.5 * tone)


def cloud_cover(direction: np.ndarray, cloud: float, shift: float) -> np.ndarray:
    """Compute how much cloud stands in directions ``(n, 3)``, 0 to 1, from noise on a layer overhead."""
    up = np.maximum(direction[:, 2], 0.03)
    scale = np.float32(900.0)  # meters, as if the clouds hung that high
    x, y = direction[:, 0] / up * scale + shift, direction[:, 1] / up * scale
    density = 0.85 * noise(x, y, 55.0, smooth=True) + 0.35 * noise(y, x + 50, 14.0, smooth=True)
    threshold = 1.1 - 3.0 * cloud
    cover = np.clip((density - threshold) * 0.45, 0, 1) * np.clip((direction[:, 2] - 0.02) * 12, 0, 1)
    return np.maximum(cover, np.clip(cloud * 2.2 - 1.2, 0, 1)).astype(np.float32)
