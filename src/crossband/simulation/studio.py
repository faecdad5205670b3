"""The city with a camera in it: from a shot's description to exact pictures of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .cameras import Camera
from .city import City
from .labels import flow_between
from .meshes import Mesh, merge
from .raycast import Hits, Scene
from .sensor import PHOTO_GAIN
from .shade import Picture, render
from .sky import Conditions, Light
from .textures import FacadeTable
from .traffic import FLEET, USUAL, Actor, Pose, StreetLife, Traffic, make_traffic, vehicle_actor
from .vehicle_bodies import make_of
from .vehicles import Vehicle

__all__ = ["Misalignment", "Shot", "Studio", "Take"]

_NEAREST_LAMPS = 14
_NEAREST_HEADLIGHTS = 5
_CELL = 60.0  # meters; parked cars are loaded around the middle of the camera's cell


@dataclass(frozen=True)
class Misalignment:
    """How the thermal camera of a rig differs from the color camera.

    Attributes:
        right, down: where it sits, meters beside the color camera.
        focal: its focal length over that of the color camera.
        center: offset of its principal point, pixels at a width of 320.
        delay: how much later it sees, seconds.
    """

    right: float = 0.12
    down: float = -0.03
    focal: float = 1.05
    center: tuple[float, float] = (4.0, -3.0)
    delay: float = 0.04

    def camera(self, camera: Camera) -> Camera:
        """Return the thermal camera that goes with a color camera."""
        scale = camera.width / 320
        center = (camera.center[0] + self.center[0] * scale, camera.center[1] + self.center[1] * scale)
        return camera.shifted(self.right, self.down, focal=self.focal, center=center)


@dataclass(frozen=True)
class Shot:
    """One frame to be taken.

    Attributes:
        frame: its unique name.
        camera: from where.
        conditions: when, and in what weather.
        time: seconds; where the traffic is.
        day: which day's traffic.
        split, place, sequence, camera_name, identity: the manifest's columns; empty where not known.
        ego: the camera is in a car: its headlights shine by night, and nobody is nearer than 5 m.
        illuminator: a near-infrared lamp sits beside the camera, on in the dark, as on street cameras.
        subject: a vehicle put there for this frame, and its pose.
        velocity: of the camera, meters per second east, north, up.
        tags: what is known beforehand to be hard about it.
        people: who is about on foot and by bicycle.
        gain: of the color camera, at most.
    """

    frame: str
    camera: Camera
    conditions: Conditions
    time: float
    day: int
    split: str = ""
    place: str = ""
    sequence: str = ""
    camera_name: str = ""
    identity: str = ""
    ego: bool = False
    illuminator: bool = False
    subject: tuple[Vehicle, Pose] | None = None
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tags: tuple[str, ...] = ()
    people: StreetLife = USUAL
    gain: float = PHOTO_GAIN


@dataclass(frozen=True)
class Take:
    """What came of a shot.

    Attributes:
        picture: the color camera's view; all bands of it are aligned.
        thermal: the thermal camera's own view, the same object where the bands are aligned.
        flow: ``(H, W, 2)`` float32, columns and rows from a pixel of ``picture`` to ``thermal``; or None.
        visible: ``(H, W)`` bool, where the flow leads to the same surface; or None.
        occlusion: hidden share of the subject, 0 to 1; or None without a subject.
    """

    picture: Picture
    thermal: Picture
    flow: np.ndarray | None = None
    visible: np.ndarray | None = None
    occlusion: float | None = None


class Studio:
    """A city kept ready for shots; what it keeps never changes what a shot shows."""

    def __init__(self, city: City) -> None:
        self.city = city
        self._scene = Scene(self.city.mesh, None, None)
        self._facades = FacadeTable(self.city.buildings)
        self._traffic: tuple[tuple[int, StreetLife], Traffic] | None = None
        self._parked_for: tuple[object, ...] | None = None
        self._moving: list[Actor] = []

    def traffic(self, day: int, people: StreetLife = USUAL) -> Traffic:
        """Return the traffic of a day."""
        if self._traffic is None or self._traffic[0] != (day, people):
            self._traffic = ((day, people), make_traffic(self.city, day, people=people))
        return self._traffic[1]

    def take(self, shot: Shot, misalignment: Misalignment | None = None, samples: int = 4) -> Take:
        """Take a shot.

        Args:
            shot: what.
            misalignment: of the thermal camera; without it all bands share every pixel.
            samples: rays per pixel, 1 or 4.
        """
        moving = self._prepare(shot)
        dark = shot.conditions.dark and not shot.conditions.blackout
        self._populate(moving, shot.time, dark)
        picture = self._picture(shot, shot.camera, shot.time, samples)
        occlusion = self._occlusion(shot, picture) if shot.subject else None
        if misalignment is None:
            return Take(picture, picture, occlusion=occlusion)
        later = shot.time + misalignment.delay
        self._populate(moving, later, dark)
        moved = replace(
            shot.camera, position=shot.camera.position + np.array(shot.velocity) * misalignment.delay
        )
        thermal_camera = misalignment.camera(moved)
        thermal = self._picture(shot, thermal_camera, later, samples)
        after = self._scene.corners(picture.hits.triangle)
        flow, visible = flow_between(shot.camera, thermal_camera, picture, thermal, after)
        return Take(picture, thermal, flow, visible, occlusion)

    def _prepare(self, shot: Shot) -> list[Actor]:
        """Load what is parked near the shot; the actors that move."""
        traffic = self.traffic(shot.day, shot.people)
        ground = np.array(shot.subject[1][:2]) if shot.subject else self._ground_point(shot.camera)
        # by cells, so that neighboring shots share one tree; the cell follows from the shot alone
        cell = tuple((np.floor(ground[:2] / _CELL) * _CELL + _CELL / 2).tolist())
        spot = np.array(shot.subject[1][:2]) if shot.subject else None
        key = (shot.day, cell, shot.subject)
        reach = 150.0 if spot is None else 80.0  # around a subject the distance is out of the picture
        parked = [a for a in traffic.near(np.array(cell), 0.0, reach, 0.0) if not a.running]
        if shot.subject:
            parked = [a for a in parked if not _is_twin(a, shot.subject[0])]
        if key != self._parked_for:
            self._scene.replace(1, _merged([a.mesh(0.0, False) for a in _away_from(parked, 0.0, spot)]))
            self._parked_for = key
        clear = 6.5 if shot.ego else 0.0
        near = traffic.near(ground, shot.time, reach - 10, 70.0, clear)
        moving = [a for a in _away_from(near, shot.time, spot) if a.vehicle is None or a.running]
        if shot.subject:
            vehicle, pose = shot.subject
            moving = [a for a in moving if not _is_twin(a, vehicle)]
            moving.append(vehicle_actor(vehicle, lambda time: pose, running=True))
        return moving

    def _populate(self, moving: list[Actor], time: float, lights: bool) -> None:
        self._moving = moving
        self._scene.replace(2, _merged([actor.mesh(time, lights) for actor in moving]))

    def _picture(self, shot: Shot, camera: Camera, time: float, samples: int) -> Picture:
        return render(
            self._scene,
            camera,
            shot.conditions,
            self._facades,
            self._lights(shot, camera, time),
            first_moving=self.city.first_free + FLEET,
            samples=samples,
        )

    def _ground_point(self, camera: Camera) -> np.ndarray:
        """Where the traffic is of interest: around the camera, or where a flying one looks."""
        forward = camera.axes[2]
        if camera.position[2] < 15 or forward[2] > -0.2:
            return camera.position[:2]
        return (camera.position - forward * camera.position[2] / forward[2])[:2]

    def _lights(self, shot: Shot, camera: Camera, time: float) -> list[Light]:
        if not shot.conditions.dark:
            return []
        lights = []
        if shot.illuminator:
            lights.append(Light(camera.position, camera.axes[2], (0, 0, 0), 0.22, 6, False))
        if shot.conditions.blackout:
            return lights
        down = np.array([0.0, 0.0, -1.0])
        center = np.append(self._ground_point(camera), 0.0)
        order = np.argsort(np.linalg.norm(self.city.lamps - center, axis=1), kind="stable")
        for i in order[:_NEAREST_LAMPS]:
            tone = (0.0170, 0.0148, 0.0110) if i % 5 else (0.0180, 0.0115, 0.0045)
            lights.append(Light(self.city.lamps[i].astype(np.float64), down, tone, 0.009, 1.2))
        if shot.ego:
            beam = camera.axes[2] + np.array([0, 0, -0.045])
            for side in (-0.6, 0.6):
                at = camera.position + side * camera.axes[0] + np.array([0, 0, -0.8])
                lights.append(Light(at, beam / np.linalg.norm(beam), (0.065, 0.062, 0.056), 0.085, 45, False))
        return lights + self._headlights(center, time)

    def _headlights(self, center: np.ndarray, time: float) -> list[Light]:
        found = []
        for actor in self._moving:
            if actor.vehicle is None:
                continue
            x, y, z, heading = actor.pose(time)
            body = make_of(actor.vehicle.body, actor.vehicle.make)
            ahead = np.array([np.cos(heading), np.sin(heading), -0.09])
            at = np.array([x, y, z + 0.7]) + ahead * (body.length / 2 + 0.1)
            found.append((float(np.hypot(x - center[0], y - center[1])), actor.number, at, ahead))
        found.sort(key=lambda item: item[:2])
        return [
            Light(at, ahead / np.linalg.norm(ahead), (0.10, 0.096, 0.088), 0.12, 40, False)
            for _, _, at, ahead in found[:_NEAREST_HEADLIGHTS]
        ]

    def _occlusion(self, shot: Shot, picture: Picture) -> float:
        """Hidden share of the subject: its pixels against those it would have alone."""
        assert shot.subject is not None
        vehicle, pose = shot.subject
        alone = Scene(vehicle_actor(vehicle, lambda time: pose, running=True).mesh(0.0, False))
        rows, columns = np.mgrid[0 : shot.camera.height, 0 : shot.camera.width]
        rays = shot.camera.directions(columns.ravel() + 0.5, rows.ravel() + 0.5)
        start = np.broadcast_to(shot.camera.position.astype(np.float32), rays.shape).copy()
        hits: Hits = alone.cast(start, rays)
        whole = int((hits.triangle >= 0).sum())
        return float(1 - min((picture.instance == vehicle.number).sum() / max(whole, 1), 1.0))


def _is_twin(actor: Actor, subject: Vehicle) -> bool:
    """Tell whether an actor is the subject as the city's traffic has it, of the first make."""
    return actor.number == subject.number and actor.vehicle != subject


def _merged(meshes: list[Mesh]) -> Mesh | None:
    return merge(meshes) if meshes else None


def _away_from(actors: list[Actor], time: float, spot: np.ndarray | None, meters: float = 8.0) -> list[Actor]:
    """Without those who stand where a subject is put."""
    if spot is None:
        return actors
    return [a for a in actors if np.hypot(*(np.array(a.pose(time)[:2]) - spot)) > meters]
