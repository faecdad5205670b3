import dataclasses

import numpy as np
import pytest

from crossband.simulation.presets import plan
from crossband.simulation.studio import Misalignment

pytestmark = pytest.mark.slow


def _sampled(image, x, y):
    """Bilinear values of an image at positions whose pixel centers lie at (0.5, 0.5)."""
    x, y = np.clip(x - 0.5, 0, image.shape[1] - 1.001), np.clip(y - 0.5, 0, image.shape[0] - 1.001)
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = x - i, y - j
    top = image[j, i] * (1 - u) + image[j, i + 1] * u
    bottom = image[j + 1, i] * (1 - u) + image[j + 1, i + 1] * u
    return top * (1 - v) + bottom * v


@pytest.fixture(scope="module")
def pair(studio):
    shot = plan("driving", studio.city, 10, (96, 128), 2)[2]
    return shot, studio.take(shot, Misalignment(), samples=4)


def test_the_flow_warps_one_camera_onto_the_other_within_half_a_pixel(studio, pair):
    """Found by search: of all small shifts of the flow, none matches the aligned picture better."""
    shot, take = pair
    aligned = studio.take(shot, samples=4).picture
    rows, columns = np.mgrid[0:96, 0:128]
    visible = take.visible
    errors = {}
    for dx in (-1.0, -0.5, 0.0, 0.5, 1.0):
        for dy in (-1.0, -0.5, 0.0, 0.5, 1.0):
            x, y = columns + 0.5 + take.flow[..., 0] + dx, rows + 0.5 + take.flow[..., 1] + dy
            warped = _sampled(take.thermal.tir, x, y)
            errors[dx, dy] = float(np.abs(warped - aligned.tir)[visible].mean())
    best = min(errors, key=errors.get)
    assert abs(best[0]) <= 0.5
    assert abs(best[1]) <= 0.5
    unwarped = np.abs(take.thermal.tir - aligned.tir)[visible].mean()
    assert errors[0.0, 0.0] < 0.6 * unwarped


def test_the_flow_is_the_shift_of_the_points_themselves(studio, pair):
    """The point that the other camera sees where the flow leads lies less than a pixel's size away."""
    shot, take = pair
    moved = dataclasses.replace(
        shot.camera, position=shot.camera.position + np.array(shot.velocity) * Misalignment().delay
    )
    other = Misalignment().camera(moved)
    rows, columns = np.mgrid[0:96, 0:128]
    rays = shot.camera.directions(columns + 0.5, rows + 0.5)
    axial = rays @ shot.camera.axes[2]
    points = shot.camera.position + rays * (take.picture.depth / axial)[..., None]
    still = take.visible & (take.picture.depth > 0) & (take.picture.instance < studio.city.first_free)
    x, y, _ = other.project(points)
    error = np.hypot(x - columns - 0.5 - take.flow[..., 0], y - rows - 0.5 - take.flow[..., 1])[still]
    assert np.percentile(error, 95) < 0.75  # a pixel's chosen sample lies up to half a pixel off its middle
    assert np.median(error) < 0.5
    assert still.mean() > 0.3


def test_without_misalignment_there_is_one_picture(studio):
    shot = plan("driving", studio.city, 1, (24, 32), 0)[0]
    take = studio.take(shot, samples=1)
    assert take.thermal is take.picture
    assert take.flow is None
