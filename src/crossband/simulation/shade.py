"""Every band from one buffer of what the rays saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cameras import Camera
from .energy import HISTORY_HOURS, ORIENTATIONS, SUN_STEPS, SurfaceTable, albedo, cloth_temperature, solve
from .materials import M, column
from .meshes import Kind
from .radiometry import band_radiance, brightness_temperature
from .raycast import Hits, Scene, Surfaces, camera_rays
from .sampling import about_normals, evenly_spread, tangents
from .sensor import blur
from .sky import Conditions, Light, Sky
from .textures import FacadeTable, draw_facades, draw_grain, noise

__all__ = ["Picture", "render"]

_OFFSET = np.float32(0.012)  # meters that secondary rays start above a surface
_KOSCHMIEDER = 3.912  # extinction times visibility, at 2 % contrast
_AMBIENT_REFLECTANCE = 0.24  # of a street's surroundings, for light that bounces once
_HIDDEN_SKY = 60.0  # meters within which an obstacle hides the sky


@dataclass(frozen=True)
class Picture:
    """One camera's view before any sensor: exact, aligned in all bands.

    Attributes:
        rgb: ``(H, W, 3)`` float32 radiance, units of :mod:`~crossband.simulation.sky`.
        nir: ``(H, W)`` float32 radiance.
        tir: ``(H, W)`` float32 radiance in 8-14 um, W m-2 sr-1.
        kind: ``(H, W)`` uint8, :class:`~crossband.simulation.meshes.Kind`.
        instance: ``(H, W)`` int32, 0 for what is no object.
        depth: ``(H, W)`` float32 meters along the camera's axis; 0 for the sky.
        temperature: ``(H, W)`` float32 kelvin of the surface itself; for the sky its brightness temperature.
        hits: the ray at the middle of each pixel's surface, ``H * W`` of them.
        lit: ``(H, W)`` bool, in the direct sun.
    """

    rgb: np.ndarray
    nir: np.ndarray
    tir: np.ndarray
    kind: np.ndarray
    instance: np.ndarray
    depth: np.ndarray
    temperature: np.ndarray
    hits: Hits
    lit: np.ndarray


@dataclass(frozen=True)
class _Rays:
    """Rays of one image: all samples, and which sample stands for its pixel."""

    origins: np.ndarray
    directions: np.ndarray
    distance: np.ndarray
    samples: int
    chosen: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of pixels, one for each of their samples."""
        return np.repeat(values, self.samples, axis=0)

    def mean(self, values: np.ndarray, camera: Camera) -> np.ndarray:
        """Values of samples averaged over their pixels, as an image."""
        averaged = values.reshape(camera.height * camera.width, self.samples, -1).mean(axis=1)
        return (
            averaged.reshape(camera.height, camera.width, -1).squeeze(-1)
            if values.ndim == 1
            else (averaged.reshape(camera.height, camera.width, -1))
        )


def render(
    scene: Scene,
    camera: Camera,
    conditions: Conditions,
    facades: FacadeTable,
    lights: list[Light],
    *,
    first_moving: int,
    samples: int = 4,
) -> Picture:
    """Render the scene: rays are cast once, and every band is shaded from what they hit.

    Args:
        scene: the city and its actors.
        camera: from where.
        conditions: when.
        facades: windows of the city's buildings.
        lights: lamps that are on.
        first_moving: instances from this number on neither cast nor keep shadows of the past hours.
        samples: rays per pixel, 1 or 4.
    """
    sky = Sky(conditions)
    origins, directions = camera_rays(camera, samples)
    hits = scene.cast(origins, directions)
    surfaces = scene.surfaces(hits, origins, directions)
    distance = np.where(surfaces.hit, hits.distance, 0).astype(np.float32)
    rays = _Rays(origins, directions, distance, samples, _representatives(surfaces, samples))
    lit_windows = 0.0 if conditions.blackout or not conditions.dark else _lit_share(conditions.hour)
    glow = draw_facades(surfaces, facades, lit_windows)
    grain = draw_grain(surfaces, distance)
    if sky.weather.wet:
        _wet(surfaces, sky.weather.wet)
    pixel = _take(surfaces, rays.chosen)
    sun_lit = _sunlight(scene, surfaces, sky)
    smoother = _Smoother(pixel, distance[rays.chosen], (camera.height, camera.width))
    sky_view = _sky_view(scene, pixel, smoother, camera)
    mirror = _mirror(scene, pixel, directions[rays.chosen], sky, (camera.height, camera.width))
    visible = _visible(scene, surfaces, pixel, rays, sky, sun_lit, sky_view, mirror, lights, glow, conditions)
    warmth = _temperatures(
        scene, surfaces, pixel, rays, sky, sky_view, grain, first_moving, conditions, camera, smoother
    )
    thermal = _thermal(surfaces, rays, sky, sky_view, mirror, warmth)
    shape = (camera.height, camera.width)
    axial = directions[rays.chosen] @ camera.axes[2].astype(np.float32)
    return Picture(
        rgb=rays.mean(visible[:, :3], camera),
        nir=rays.mean(visible[:, 3], camera),
        tir=rays.mean(thermal, camera),
        kind=pixel.kind.reshape(shape),
        instance=pixel.instance.reshape(shape),
        depth=(distance[rays.chosen] * axial).reshape(shape).astype(np.float32),
        temperature=warmth[rays.chosen].reshape(shape).astype(np.float32),
        hits=Hits(*(getattr(hits, name)[rays.chosen] for name in ("triangle", "distance", "u", "v"))),
        lit=sun_lit[rays.chosen].reshape(shape) > 0,
    )


def _representatives(surfaces: Surfaces, samples: int) -> np.ndarray:
    """Of each pixel, the sample whose object most of its samples saw."""
    code = (surfaces.instance.astype(np.int64) * 32 + surfaces.kind).reshape(-1, samples)
    votes = (code[:, :, None] == code[:, None, :]).sum(axis=2)
    return np.arange(len(code)) * samples + votes.argmax(axis=1)


def _take(surfaces: Surfaces, rows: np.ndarray) -> Surfaces:
    return Surfaces(**{name: getattr(surfaces, name)[rows] for name in Surfaces.__dataclass_fields__})


def _lit_share(hour: float) -> float:
    """Share of windows with light behind them: most in the evening, few before dawn."""
    return float(np.interp(hour, [0, 2, 5, 7, 16, 19, 22, 24], [0.18, 0.06, 0.06, 0.25, 0.3, 0.42, 0.38, 0.18]))


def _wet(surfaces: Surfaces, wet: float) -> None:
    """Water darkens what it soaks (Lekner and Dorf, Applied Optics 27 (1988): about half the albedo)."""
    soaked = np.isin(surfaces.material, (M.ASPHALT, M.PAVING, M.CURB, M.CONCRETE, M.MARKING)) & (
        surfaces.normal[:, 2] > 0.7
    )
    surfaces.color[soaked] *= 1 - 0.45 * wet
    surfaces.nir[soaked] *= 1 - 0.55 * wet


def _sunlight(scene: Scene, surfaces: Surfaces, sky: Sky) -> np.ndarray:
    """Cosine of the sun on each sample where nothing stands before it, else 0; ``(n,)`` float32."""
    out = np.zeros(len(surfaces.hit), np.float32)
    if sky.sun[2] <= 0 or sky.direct.max() < 1e-6:
        return out
    cosine = surfaces.normal @ sky.sun
    leaf = (surfaces.material == M.LEAVES) | (surfaces.material == M.NEEDLES)
    # leaves pass about as much light as they reflect, and are lit from either side
    cosine = np.where(leaf, 0.3 + 0.7 * np.abs(cosine), cosine)
    rows = np.flatnonzero(surfaces.hit & (cosine > 0))
    offset = np.where(leaf[rows], 0.25, _OFFSET).astype(np.float32)[:, None]
    start = surfaces.position[rows] + surfaces.normal[rows] * _OFFSET + sky.sun * offset
    free = ~scene.blocked(start, np.broadcast_to(sky.sun, start.shape).copy())
    out[rows[free]] = cosine[rows[free]]
    return out


def _sky_view(scene: Scene, pixel: Surfaces, smoother: _Smoother, camera: Camera) -> np.ndarray:
    """Share of the cosine-weighted hemisphere over each pixel's surface that sees the sky; ``(n,)``.

    Four rays per pixel, sixteen different sets of them in every square of four by four pixels, averaged over
    the square's neighbors on the same surface.
    """
    n = camera.height * camera.width
    tile = _tile(camera)
    hit = np.flatnonzero(pixel.hit)
    points = evenly_spread()
    seen = np.zeros((4, n), np.float32)
    normal = pixel.normal[hit]
    start = pixel.position[hit] + normal * _OFFSET * 2
    frame = tangents(normal)
    for k in range(4):
        directions = about_normals(normal, *frame, points[tile[hit] * 4 + k])
        up = np.flatnonzero(directions[:, 2] > -0.05)
        blocked = scene.blocked(start.take(up, axis=0), directions.take(up, axis=0), _HIDDEN_SKY)
        seen[k, hit[up[~blocked]]] = 1
    return smoother.mean(seen.mean(axis=0))


class _Smoother:
    """Means over four by four pixels that lie on the same smooth surface; which do is found once."""

    def __init__(self, pixel: Surfaces, distance: np.ndarray, shape: tuple[int, int]) -> None:
        height, width = shape
        normal = pixel.normal.reshape(height, width, 3)
        place = np.einsum("ij,ij->i", pixel.normal, pixel.position).reshape(shape)
        position = pixel.position.reshape(height, width, 3)
        slack = (0.08 + 0.012 * distance).reshape(shape)
        hit = pixel.hit.reshape(shape)
        self._shape = shape
        self._steps: list[tuple[tuple[slice, slice], tuple[slice, slice], np.ndarray]] = []
        self._weight = np.full((height, width, 1), 1e-6, np.float32)
        for dy in range(-2, 2):
            for dx in range(-2, 2):
                here = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
                there = (slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx)))
                off = np.einsum("ijk,ijk->ij", normal[here], position[there]) - place[here]
                same = (np.abs(off) < slack[here]) & hit[there]
                same &= np.einsum("ijk,ijk->ij", normal[here], normal[there]) > 0.75
                self._weight[here] += same[..., None]
                self._steps.append((here, there, same))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of values by pixel, ``(n,)`` or ``(n, C)`` float32; the same shape."""
        image = values.reshape(*self._shape, -1)
        total = np.zeros(image.shape, np.float32)
        for here, there, same in self._steps:
            total[here] += image[there] * same[..., None]
        return (total / self._weight).reshape(values.shape)


@dataclass(frozen=True)
class _Mirror:
    """What glossy pixels reflect: rows of pixels, and radiance in red, green, blue, NIR and TIR."""

    rows: np.ndarray
    rgb: np.ndarray
    nir: np.ndarray
    tir: np.ndarray
    sun: np.ndarray


def _mirror(scene: Scene, pixel: Surfaces, directions: np.ndarray, sky: Sky, shape: tuple[int, int]) -> _Mirror:
    gloss = column("gloss")[pixel.material]
    wet = (pixel.normal[:, 2] > 0.7) & np.isin(pixel.material, (M.ASPHALT, M.PAVING)) & (sky.weather.wet > 0.9)
    rows = np.flatnonzero(pixel.hit & ((gloss > 0.005) | wet))
    normal, incoming = pixel.normal[rows], directions[rows]
    along = np.einsum("ij,ij->i", normal, incoming)[:, None]
    outgoing = incoming - 2 * along * normal
    if sky.weather.wet > 0.9:
        outgoing = _rippled(outgoing, pixel, rows)
    outgoing = outgoing.astype(np.float32)
    start = pixel.position[rows] + normal * _OFFSET * 2
    hits = scene.cast(start, outgoing)
    rgb, nir = sky.visible(outgoing)
    tir = sky.thermal(outgoing)
    met = np.flatnonzero(hits.triangle >= 0)
    if met.size:
        there = Hits(*(getattr(hits, name)[met] for name in ("triangle", "distance", "u", "v")))
        seen = scene.surfaces(there, start[met], outgoing[met])
        light = (0.45 * sky.direct * max(float(sky.sun[2]), 0) + 0.6 * sky.diffuse) / np.pi
        rgb[met] = seen.color * light
        nir[met] = (
            seen.nir * (0.45 * sky.direct_nir * max(float(sky.sun[2]), 0) + 0.6 * sky.diffuse_nir) / np.pi
        )
        tir[met] = band_radiance(np.full(len(met), sky.air + 1.5))
    sun = np.clip(outgoing @ sky.sun, 0, 1) ** 350 * (hits.triangle < 0)
    if sky.weather.wet > 0.9:
        ground = gloss[rows] <= 0.005
        rgb, nir = (_spread_out(values, rows, ground, shape) for values in (rgb, nir))
    return _Mirror(rows, rgb, nir, tir, sun.astype(np.float32))


def _spread_out(values: np.ndarray, rows: np.ndarray, ground: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Reflections of wet ground, drawn out over its neighbors: one ray per pixel alone would glitter."""
    image = np.zeros((shape[0] * shape[1], values[0].size + 1), np.float32)
    image[rows[ground]] = np.column_stack([values[ground], np.ones(int(ground.sum()))])
    smooth = blur(image.reshape(*shape, -1), max(1.0, shape[1] / 160)).reshape(image.shape)
    mean = smooth[rows, :-1] / np.maximum(smooth[rows, -1:], 1e-6)
    return np.where(ground.reshape(-1, *[1] * (values.ndim - 1)), mean.reshape(values.shape), values)


def _rippled(outgoing: np.ndarray, pixel: Surfaces, rows: np.ndarray) -> np.ndarray:
    """Rays that leave wet ground, scattered by its roughness and by drops."""
    spot = pixel.position[rows]
    level = (pixel.normal[rows, 2] > 0.7) & (column("gloss")[pixel.material[rows]] < 0.005)
    ripple = np.stack([noise(spot[:, 0], spot[:, 1], 0.031), noise(spot[:, 1], spot[:, 0], 0.027)], axis=1)
    outgoing[:, :2] += 0.06 * ripple * level[:, None]
    outgoing[:, 2] = np.where(level, np.abs(outgoing[:, 2]) + 0.05 * np.abs(ripple[:, 0]), outgoing[:, 2])
    return outgoing / np.linalg.norm(outgoing, axis=1, keepdims=True)


def _visible(
    scene: Scene,
    surfaces: Surfaces,
    pixel: Surfaces,
    rays: _Rays,
    sky: Sky,
    sun_lit: np.ndarray,
    sky_view: np.ndarray,
    mirror: _Mirror,
    lights: list[Light],
    glow: np.ndarray,
    conditions: Conditions,
) -> np.ndarray:
    """Radiance of every sample in red, green, blue and NIR, ``(n, 4)`` float32."""
    direct = np.append(sky.direct, sky.direct_nir)
    diffuse = np.append(sky.diffuse, sky.diffuse_nir)
    bounced = _AMBIENT_REFLECTANCE * (direct * max(float(sky.sun[2]), 0) * 0.8 + diffuse)
    ambient = sky_view[:, None] * diffuse + (1 - sky_view[:, None]) * bounced
    ambient = ambient * (0.55 + 0.45 * np.sqrt(sky_view))[:, None] + _lamp_light(scene, pixel, lights)
    light = rays.spread(ambient.astype(np.float32))
    light += sun_lit[:, None] * direct.astype(np.float32)
    reflectance = np.concatenate([surfaces.color, surfaces.nir[:, None]], axis=1)
    out = reflectance * light * np.float32(1 / np.pi)
    _add_mirror(out, surfaces, rays, mirror, direct, sky)
    _add_emission(out, surfaces, rays, glow, conditions)
    air = np.flatnonzero(~surfaces.hit)
    rgb, nir = sky.visible(rays.directions[air])
    out[air, :3], out[air, 3] = rgb, nir
    veil = np.append(diffuse[:3], diffuse[3]) / np.pi + 0.12 * direct / np.pi
    passed = np.exp(-_KOSCHMIEDER * rays.distance / sky.weather.visibility)[:, None]
    passed[air] = 1 if sky.weather.visibility > 1000 else 0
    return (out * passed + veil.astype(np.float32) * (1 - passed)).astype(np.float32)


def _lamp_light(scene: Scene, pixel: Surfaces, lights: list[Light]) -> np.ndarray:
    """Irradiance of lamps on each pixel's surface, ``(n, 4)`` float32."""
    out = np.zeros((len(pixel.hit), 4), np.float32)
    for light in lights:
        toward = light.position.astype(np.float32) - pixel.position
        squared = np.maximum(np.einsum("ij,ij->i", toward, toward), 0.25)
        away = np.sqrt(squared)
        cosine = np.einsum("ij,ij->i", pixel.normal, toward) / away
        beam = np.clip(-(toward @ light.axis.astype(np.float32)) / away, 0, 1) ** light.focus
        strength = np.where(pixel.hit & (cosine > 0), cosine * beam / squared, 0)
        rows = np.flatnonzero(strength * max(*light.power, light.nir) > 1e-6)
        if light.shadows and len(rows):
            start = pixel.position[rows] + pixel.normal[rows] * _OFFSET * 2
            direction = toward[rows] / away[rows, None]
            rows = rows[~scene.blocked(start, direction, away[rows] - 0.5)]
        out[rows] += strength[rows, None] * np.array([*light.power, light.nir], np.float32)
    return out


def _add_mirror(
    out: np.ndarray, surfaces: Surfaces, rays: _Rays, mirror: _Mirror, direct: np.ndarray, sky: Sky
) -> None:
    lookup = np.full(len(rays.chosen), -1, np.int32)
    lookup[mirror.rows] = np.arange(len(mirror.rows))
    of_sample = np.repeat(lookup, rays.samples)
    gloss = column("gloss")[surfaces.material]
    if sky.weather.wet > 0.9:
        soaked = np.isin(surfaces.material, (M.ASPHALT, M.PAVING)) & (surfaces.normal[:, 2] > 0.7)
        spot = surfaces.position
        puddle = np.clip(0.8 + 0.22 * noise(spot[:, 0], spot[:, 1], 0.35, smooth=True), 0.05, 1.3)
        gloss = np.where(soaked, 0.04 * puddle, gloss).astype(np.float32)
    rows = np.flatnonzero((of_sample >= 0) & (gloss > 0))
    which = of_sample[rows]
    cosine = np.abs(np.einsum("ij,ij->i", surfaces.normal[rows], rays.directions[rows]))
    share = gloss[rows] + (1 - gloss[rows]) * (1 - cosine) ** 5  # Schlick
    seen = np.concatenate([mirror.rgb, mirror.nir[:, None]], axis=1)[which]
    seen = seen + mirror.sun[which, None] * direct.astype(np.float32) * 30
    out[rows] = out[rows] * (1 - share[:, None]) + seen * share[:, None]


def _add_emission(
    out: np.ndarray, surfaces: Surfaces, rays: _Rays, glow: np.ndarray, conditions: Conditions
) -> None:
    """Lamps and lit windows themselves."""
    if conditions.blackout:
        return
    room = np.array([1.0, 0.80, 0.52, 0.7], np.float32) * 6e-5
    lit = glow > 0
    hue = 0.85 + 0.3 * (glow[lit] % 0.1)[:, None] * 10
    out[lit] += glow[lit, None] * room * hue
    facing = np.abs(np.einsum("ij,ij->i", surfaces.normal, rays.directions))
    for material, radiance in (
        (M.HEADLIGHT, (6e-3, 5.6e-3, 5.0e-3, 5e-3)),
        (M.TAILLIGHT, (1.2e-3, 3e-5, 2e-5, 8e-4)),
    ):
        rows = np.flatnonzero(surfaces.material == material)
        out[rows] += (facing[rows, None] ** 2) * np.array(radiance, np.float32)
    lamp = (surfaces.material == M.LAMP_GLASS) & (surfaces.kind == Kind.FURNITURE)
    if conditions.dark:
        out[lamp] += (
            np.append(surfaces.color[lamp], surfaces.color[lamp].max(axis=1, keepdims=True), axis=1) * 4e-3
        )


def _temperatures(
    scene: Scene,
    surfaces: Surfaces,
    pixel: Surfaces,
    rays: _Rays,
    sky: Sky,
    sky_view: np.ndarray,
    grain: np.ndarray,
    first_moving: int,
    conditions: Conditions,
    camera: Camera,
    smoother: _Smoother,
) -> np.ndarray:
    """Temperature of every sample in kelvin, ``(n,)`` float32."""
    table = solve(sky.weather, conditions.day_of_year, round(conditions.hour * 12) / 12, conditions.latitude)
    flat = surfaces.material.astype(np.int32) * len(ORIENTATIONS) + surfaces.orientation
    possible = (1 + ORIENTATIONS[:, 2]) / 2
    open_share = np.clip(rays.spread(sky_view) / np.maximum(possible[surfaces.orientation], 0.06), 0, 1)
    closed = table.closed.reshape(-1)[flat]
    out = closed + open_share * (table.open.reshape(-1)[flat] - closed)
    reflected = 0.5 * surfaces.color.mean(axis=1) + 0.5 * surfaces.nir
    darkness = np.clip((1 - reflected) / (1 - albedo()[surfaces.material]), 0.2, 2)
    darkness = np.where(surfaces.material == M.GLASS, 1, darkness)
    lit = _past_sunlight(scene, pixel, table, first_moving, smoother, camera)
    gain = table.gain.reshape(-1, len(HISTORY_HOURS) - 1)
    for span in range(gain.shape[1]):
        if gain[:, span].max() > 0.02:
            out += gain[flat, span] * rays.spread(lit[:, span]) * darkness
    out += surfaces.heat + 0.25 * grain
    out = _living(out, surfaces, sky.air)
    lamp = (surfaces.material == M.LAMP_GLASS) & (surfaces.kind == Kind.FURNITURE)
    if conditions.dark and not conditions.blackout:
        out[lamp] += 9
    return out.astype(np.float32)


def _past_sunlight(
    scene: Scene, pixel: Surfaces, table: SurfaceTable, first_moving: int, smoother: _Smoother, camera: Camera
) -> np.ndarray:
    """Share of the sun each pixel's surface had in each span of the last day, ``(n, spans)`` float32.

    The sixteen pixels of a square of four by four look towards sixteen positions of the sun in the span, and
    are averaged: the edges of old shadows are soft, because the sun has moved on.
    """
    spans = len(HISTORY_HOURS) - 1
    out = np.full((len(pixel.hit), spans), 0.75, np.float32)
    still = pixel.hit & (pixel.instance < first_moving)
    tile = _tile(camera)
    for span in range(spans):
        suns = table.sun[span][table.sun[span, :, 2] > 0.02]
        if not len(suns):
            continue
        sun = suns[tile * len(suns) // SUN_STEPS]
        facing = np.einsum("ij,ij->i", pixel.normal, sun) > 0
        rows = np.flatnonzero(still & (facing | (pixel.kind == Kind.TREE)))
        start = pixel.position[rows] + pixel.normal[rows] * _OFFSET * 2
        out[rows, span] = ~scene.blocked(start, sun[rows], lasting=True)
    return smoother.mean(out)


def _tile(camera: Camera) -> np.ndarray:
    """Position of each pixel in its square of four by four, 0 to 15, in an order that mixes neighbors."""
    rows, columns = np.divmod(np.arange(camera.height * camera.width), camera.width)
    return ((rows % 4) * 4 + columns % 4) * 7 % 16


def _living(temperature: np.ndarray, surfaces: Surfaces, air: float) -> np.ndarray:
    """Skin, hair, clothes and fur are kept warm from within (ISO 7730; skin 33 degrees, less in the cold)."""
    skin = 306.0 - 0.16 * max(306.0 - air, 0)
    for material, kelvin in (
        (M.SKIN, skin),
        (M.HAIR, air + 0.45 * (skin - air)),
        (M.CLOTH, cloth_temperature(air)),
        (M.FUR, cloth_temperature(air, 308.0, 0.16)),
    ):
        rows = np.flatnonzero(surfaces.material == material)
        temperature[rows] = kelvin + 0.15 * (temperature[rows] - air) + 0.85 * surfaces.heat[rows]
    return temperature


def _thermal(
    surfaces: Surfaces, rays: _Rays, sky: Sky, sky_view: np.ndarray, mirror: _Mirror, warmth: np.ndarray
) -> np.ndarray:
    """Radiance in 8-14 um: what surfaces emit, and what they reflect of sky and street."""
    around = float(band_radiance(np.array(sky.air + 1.0)))
    view = rays.spread(sky_view)
    reflected = (view * np.float32(sky.thermal_mean()) + (1 - view) * np.float32(around)).astype(np.float32)
    lookup = np.full(len(rays.chosen), np.nan, np.float32)
    lookup[mirror.rows] = mirror.tir
    shiny = column("gloss")[surfaces.material] > 0.005
    seen = np.repeat(lookup, rays.samples)
    reflected = np.where(shiny & ~np.isnan(seen), seen, reflected)
    cosine = np.abs(np.einsum("ij,ij->i", surfaces.normal, rays.directions))
    emissivity = column("emissivity")[surfaces.material]
    emissivity = np.where(shiny, emissivity * (1 - (1 - cosine) ** 5), emissivity)
    out = emissivity * band_radiance(warmth) + (1 - emissivity) * reflected
    passed = np.exp(-_KOSCHMIEDER * rays.distance / sky.weather.thermal_visibility)
    out = out * passed + (1 - passed) * np.float32(band_radiance(np.array(sky.air)))
    air = np.flatnonzero(~surfaces.hit)
    clear = sky.thermal(rays.directions[air])
    thick = sky.weather.thermal_visibility < 1000
    out[air] = band_radiance(np.full(len(air), sky.air)) if thick else clear
    warmth[air] = brightness_temperature(out[air])
    return out.astype(np.float32)
