"""Persons, bicycles, dogs, trees and the furniture of streets, as meshes that stand at the origin."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .materials import M
from .meshes import Kind, Mesh, box, ellipsoid, merge, tube

__all__ = [
    "Person",
    "bicycle_mesh",
    "dog_mesh",
    "draw_person",
    "lamp_mesh",
    "person_mesh",
    "tree_mesh",
]

_CLOTHES = (
    (0.05, 0.06, 0.09),
    (0.02, 0.02, 0.022),
    (0.40, 0.05, 0.05),
    (0.12, 0.14, 0.35),
    (0.55, 0.54, 0.50),
    (0.10, 0.24, 0.12),
    (0.50, 0.36, 0.08),
    (0.22, 0.22, 0.23),
    (0.30, 0.18, 0.12),
)


@dataclass(frozen=True)
class Person:
    """One person: size and clothes stay the same in every frame.

    Attributes:
        number: the instance number in the label images.
        height: meters.
        top, bottom: linear reflectance of jacket and trousers.
        skin: linear reflectance of the skin.
        backpack: whether a backpack is carried.
        insulation: of the clothing, m2 K/W; thick clothes look colder.
    """

    number: int
    height: float
    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    skin: tuple[float, float, float]
    backpack: bool
    insulation: float


def draw_person(rng: np.random.Generator, number: int) -> Person:
    """Draw a random person."""
    tone = rng.uniform(0.25, 1.15)
    return Person(
        number=number,
        height=float(np.clip(rng.normal(1.70, 0.10), 1.35, 1.95)),
        top=_CLOTHES[rng.integers(len(_CLOTHES))],
        bottom=_CLOTHES[rng.integers(4)],
        skin=(0.44 * tone, 0.28 * tone, 0.20 * tone),
        backpack=bool(rng.random() < 0.25),
        insulation=float(rng.uniform(0.07, 0.2)),
    )


def _bar(
    start: tuple,
    end: tuple,
    r0: float,
    r1: float,
    material: M,
    color: object = None,
    sides: int = 7,
    caps: bool = True,
) -> Mesh:
    corners, normals = tube(start, end, r0, r1, sides=sides, caps=caps)
    return Mesh.make(corners, material, normals=normals, color=color)  # type: ignore[arg-type]


def _ball(center: tuple, radii: tuple, material: M, color: object = None) -> Mesh:
    small = max(radii) < 0.08
    corners, normals = ellipsoid(center, radii, rings=4 if small else 6, sides=6 if small else 10)
    return Mesh.make(corners, material, normals=normals, color=color)  # type: ignore[arg-type]


_TOP, _BOTTOM, _SKIN = (-1.0, 0.0, 0.0), (-2.0, 0.0, 0.0), (-3.0, 0.0, 0.0)  # see Mesh.painted


def person_mesh(person: Person, phase: float, *, riding: bool = False) -> Mesh:
    """Return a person facing x.

    Args:
        person: who.
        phase: of the stride, radians.
        riding: sitting on a bicycle, the legs on its pedals, instead of walking.
    """
    mesh = _posture(round(phase, 6), riding, person.backpack)
    mesh = mesh.painted(person.top, person.bottom, person.skin)
    return mesh.placed(0, 0, scale=person.height / 1.77).having(instance=person.number)


@lru_cache(maxsize=128)
def _posture(phase: float, riding: bool, backpack: bool) -> Mesh:
    """Anybody of 1.77 m, with marks for the colors."""
    swing = np.sin(phase)
    hip, lean, seat = 0.92, 0.02, 0.0
    if riding:
        hip, lean, seat = 0.98, 0.30, -0.15
    parts = []
    shoulder = (seat + lean, 0.0, hip + 0.52)
    for side in (-1, 1):
        s = side * swing
        if riding:
            pedal = phase + (0 if side > 0 else np.pi)
            foot = (0.08 + 0.16 * np.cos(pedal), side * 0.10, 0.32 + 0.16 * np.sin(pedal))
            knee = (0.26, side * 0.11, (hip + foot[2]) / 2 + 0.12)
            hand = (0.48, side * 0.22, 1.08)
            elbow = (0.30, side * 0.27, 1.20)
        else:
            lift = max(0.0, -s * np.cos(phase) * side) * 0.12
            foot = (0.27 * s, side * 0.09, 0.07 + lift)
            knee = (0.15 * s + 0.05, side * 0.095, 0.49)
            hand = (-0.20 * s + 0.06, side * 0.26, 0.82)
            elbow = (-0.12 * s - 0.03, side * 0.255, 1.11)
        parts += [
            _bar((seat, side * 0.09, hip), knee, 0.085, 0.062, M.CLOTH, _BOTTOM),
            _bar(knee, foot, 0.060, 0.045, M.CLOTH, _BOTTOM),
            Mesh.make(
                box(
                    (foot[0] - 0.08, foot[1] - 0.045, foot[2] - 0.07),
                    (foot[0] + 0.17, foot[1] + 0.045, foot[2] + 0.02),
                ),
                M.RUBBER,
            ),
            _bar((shoulder[0], side * 0.20, shoulder[2] - 0.03), elbow, 0.058, 0.046, M.CLOTH, _TOP),
            _bar(elbow, hand, 0.046, 0.036, M.CLOTH, _TOP),
            _ball(hand, (0.045, 0.035, 0.06), M.SKIN, _SKIN),
        ]
    middle = ((seat + shoulder[0]) / 2, 0.0, hip + 0.25)
    corners, normals = ellipsoid((0, 0, 0), (0.135, 0.215, 0.36), rings=8, sides=12)
    torso = Mesh.make(corners, M.CLOTH, normals=normals, color=_TOP)
    tilt = np.arctan2(shoulder[0] - seat, 0.5)
    parts.append(_leaning(torso, tilt, middle))
    head = (shoulder[0] + lean * 0.5, 0.0, shoulder[2] + 0.20)
    parts += [
        _bar(shoulder, head, 0.055, 0.055, M.SKIN, _SKIN),
        _ball(head, (0.095, 0.075, 0.125), M.SKIN, _SKIN),
        _ball((head[0] - 0.025, 0.0, head[2] + 0.045), (0.095, 0.085, 0.10), M.HAIR),
    ]
    body = merge(parts).having(kind=Kind.PERSON)
    # clothes lie close here and loose there: patches warmer and colder, the same at every step
    patches = np.random.default_rng(7).normal(0, 1.6, body.heat.shape).astype(np.float32)
    body = body.having(heat=np.where(body.material[:, None] == M.CLOTH, patches, np.float32(0)))
    if backpack:
        pack = box((middle[0] - 0.32, -0.16, hip + 0.08), (middle[0] - 0.11, 0.16, hip + 0.52))
        body = merge([body, Mesh.make(pack, M.CLOTH, Kind.BACKPACK, color=(0.16, 0.12, 0.08))])
    return body


def _leaning(mesh: Mesh, angle: float, at: tuple[float, float, float]) -> Mesh:
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
    return mesh.having(
        corners=(mesh.corners @ turn.T + np.array(at, np.float32)).astype(np.float32),
        normals=mesh.normals @ turn.T,
    )


def bicycle_mesh(number: int, color: tuple[float, float, float]) -> Mesh:
    """Return a bicycle that faces x, standing upright."""
    return _bicycle().painted(color).having(instance=number)


@lru_cache(maxsize=1)
def _bicycle() -> Mesh:
    """With a mark for the color of the frame."""
    parts = []
    for x in (-0.52, 0.52):
        angle = np.linspace(0, 2 * np.pi, 17)
        rim = np.stack([x + 0.33 * np.cos(angle), 0 * angle, 0.34 + 0.33 * np.sin(angle)], axis=1)
        parts += [
            _bar(tuple(a), tuple(b), 0.020, 0.020, M.RUBBER, sides=4, caps=False)
            for a, b in itertools.pairwise(rim)
        ]
        parts += [_bar((x, 0, 0.34), tuple(p), 0.006, 0.006, M.STEEL, sides=3, caps=False) for p in rim[::4]]
    frame = [
        ((-0.52, 0, 0.34), (-0.10, 0, 0.32)),
        ((-0.10, 0, 0.32), (-0.20, 0, 0.86)),
        ((-0.52, 0, 0.34), (-0.18, 0, 0.76)),
        ((-0.10, 0, 0.32), (0.36, 0, 0.78)),
        ((-0.18, 0, 0.76), (0.36, 0, 0.80)),
        ((0.34, 0, 0.92), (0.52, 0, 0.34)),
    ]
    parts += [_bar(a, b, 0.022, 0.022, M.PAINTED_STEEL, _TOP, sides=5) for a, b in frame]
    parts.append(_bar((0.36, -0.26, 1.0), (0.36, 0.26, 1.0), 0.016, 0.016, M.STEEL))
    parts.append(Mesh.make(box((-0.34, -0.07, 0.88), (-0.08, 0.07, 0.94)), M.PLASTIC))
    return merge(parts).having(kind=Kind.BICYCLE)


def dog_mesh(number: int, phase: float, fur: tuple[float, float, float]) -> Mesh:
    """Return a dog of medium size that faces x."""
    swing = np.sin(phase)
    parts = [
        _ball((0, 0, 0.46), (0.36, 0.13, 0.15), M.FUR, fur),
        _bar((0.28, 0, 0.50), (0.46, 0, 0.66), 0.09, 0.075, M.FUR, fur),
        _ball((0.50, 0, 0.69), (0.12, 0.08, 0.085), M.FUR, fur),
        _bar((0.56, 0, 0.67), (0.68, 0, 0.65), 0.05, 0.035, M.FUR, fur),
        _ball((0.69, 0, 0.655), (0.02, 0.025, 0.02), M.HAIR),
        _bar((-0.33, 0, 0.52), (-0.55, 0, 0.70), 0.03, 0.015, M.FUR, fur),
    ]
    for x, y, sign in ((0.22, 0.09, 1), (0.22, -0.09, -1), (-0.24, 0.09, -1), (-0.24, -0.09, 1)):
        parts.append(_bar((x, y, 0.45), (x + 0.10 * sign * swing, y, 0.02), 0.05, 0.03, M.FUR, fur))
    for y in (-0.06, 0.06):
        parts.append(_bar((0.46, y, 0.74), (0.44, y * 1.3, 0.84), 0.03, 0.008, M.FUR, fur))
    return merge(parts).having(kind=Kind.DOG, instance=number)


def tree_mesh(rng: np.random.Generator, *, conifer: bool = False, leaves: int = 1300) -> Mesh:
    """Return a tree of 6 to 11 m: a trunk, branches, and a crown of leaf clusters.

    A cluster's normal points from the middle of its limb outwards, so that the crown is lit as a body with
    depth and not as a swarm of cards.
    """
    height = float(rng.uniform(6.5, 11))
    radius = 0.02 * height
    lean = rng.normal(0, 0.15, 2)
    top = (lean[0], lean[1], height * (0.95 if conifer else 0.55))
    trunk = _bar((0, 0, -0.1), top, radius, radius * 0.3, M.BARK)
    crown = _conifer_crown(rng, height, leaves) if conifer else _leafy_crown(rng, height, lean, leaves)
    return merge([trunk, *crown]).having(kind=Kind.TREE)


def _conifer_crown(rng: np.random.Generator, height: float, leaves: int) -> list[Mesh]:
    foot = 0.12 * height
    z = foot + (height - foot) * rng.random(leaves) ** 1.5
    spread = 0.26 * height * (1 - (z - foot) / (height - foot)) + 0.1
    angle, out = rng.uniform(0, 2 * np.pi, leaves), np.sqrt(rng.uniform(0.15, 1, leaves))
    offset = np.stack([np.cos(angle) * spread * out, np.sin(angle) * spread * out], axis=1)
    centers = np.column_stack([offset, z - 0.25 * spread * out])
    outward = np.column_stack([np.cos(angle), np.sin(angle), np.full(leaves, 0.5)])
    return [_leaf_cards(rng, centers, outward, 0.20, M.NEEDLES)]


def _leafy_crown(rng: np.random.Generator, height: float, lean: np.ndarray, leaves: int) -> list[Mesh]:
    limbs = int(rng.integers(6, 9))
    start = (lean[0] * 0.6, lean[1] * 0.6, height * 0.36)
    branches, ends = [], []
    for limb in range(limbs):
        angle = 2 * np.pi * limb / limbs + rng.normal(0, 0.3)
        reach = height * rng.uniform(0.12, 0.24) * (limb > 0)
        z = height * rng.uniform(0.48, 0.80) if limb else height * 0.82
        ends.append((lean[0] + np.cos(angle) * reach, lean[1] + np.sin(angle) * reach, z))
        branches.append(_bar(start, ends[-1], 0.009 * height, 0.0024 * height, M.BARK, sides=5, caps=False))
    owner = rng.integers(0, limbs, leaves)
    direction = rng.normal(size=(leaves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    size = height * 0.17 * rng.uniform(0.8, 1.2, limbs)[owner]
    out = rng.uniform(0.25, 1.0, leaves) ** 0.6
    centers = np.array(ends)[owner] + direction * (size * out)[:, None] * (1, 1, 0.8)
    outward = direction + (centers - (lean[0], lean[1], height * 0.6)) / (0.35 * height)
    return [*branches, _leaf_cards(rng, centers, outward, 0.20, M.LEAVES)]


def _leaf_cards(
    rng: np.random.Generator, centers: np.ndarray, outward: np.ndarray, size: float, material: M
) -> Mesh:
    n = len(centers)
    outward = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    corners = centers[:, None] + rng.normal(0, size, (n, 3, 3))
    normals = outward[:, None] + rng.normal(0, 0.25, (n, 3, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    mesh = Mesh.make(corners, material, normals=normals)
    shade = rng.uniform(0.7, 1.2, n).astype(np.float32)
    hue = 1 + rng.normal(0, 0.10, 3) * (1, 0.4, 1)
    return mesh.having(color=(mesh.color * shade[:, None] * hue).astype(np.float32), nir=mesh.nir * shade**0.4)


def lamp_mesh() -> Mesh:
    """Return a street lamp of 7 m whose head hangs 1.6 m towards x."""
    return merge(
        [
            _bar((0, 0, 0), (0, 0, 6.9), 0.085, 0.05, M.PAINTED_STEEL),
            _bar((0, 0, 6.85), (1.5, 0, 7.05), 0.045, 0.035, M.PAINTED_STEEL),
            Mesh.make(box((1.1, -0.14, 6.98), (1.75, 0.14, 7.10)), M.PAINTED_STEEL),
            Mesh.make(box((1.15, -0.11, 6.94), (1.70, 0.11, 6.979)), M.LAMP_GLASS),
        ]
    )
