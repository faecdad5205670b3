import numpy as np
import pytest

from crossband.simulation.radiometry import band_radiance
from crossband.simulation.sensor import (
    VIDEO_GAIN,
    ThermalSensor,
    agc,
    blur,
    centikelvin,
    expose,
    thermal_camera,
)


def test_noise_is_as_large_as_the_netd_and_the_pattern_stays():
    still = band_radiance(np.full((64, 80), 295.0))
    sensor = ThermalSensor()
    frames = np.stack([thermal_camera(still, np.random.default_rng(i), sensor) for i in range(40)])
    assert frames.std(axis=0).mean() == pytest.approx(sensor.netd, rel=0.1)
    pattern = frames.mean(axis=0) - 295.0
    expected = np.hypot(sensor.fixed_pattern, sensor.columns)
    assert pattern.std() == pytest.approx(expected, rel=0.25)
    other = thermal_camera(still, np.random.default_rng(0), sensor, unit=1)
    assert np.abs(np.corrcoef(pattern.ravel(), (other - 295.0).ravel())[0, 1]) < 0.2


def test_blur_keeps_the_mean_and_spreads_a_point():
    point = np.zeros((21, 21), np.float32)
    point[10, 10] = 1
    spread = blur(point, 1.0)
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    rows, _ = np.mgrid[0:21, 0:21]
    assert np.sqrt((spread * (rows - 10) ** 2).sum()) == pytest.approx(1.0, rel=0.1)
    assert np.array_equal(blur(point, 0), point)


def test_gain_control_uses_the_range_and_keeps_the_order():
    kelvin = np.linspace(270, 310, 4000).reshape(50, 80)
    shown = agc(kelvin)
    assert shown.min() == 0
    assert shown.max() == 255
    assert np.all(np.diff(shown.ravel().astype(int)) >= 0)
    flat = agc(np.full((50, 80), 290.0) + np.random.default_rng(0).normal(0, 0.05, (50, 80)))
    assert flat.std() < agc(kelvin).std() / 1.3  # noise is not stretched to the full range


def test_centikelvin_holds_a_hundredth():
    kelvin = np.array([199.994, 273.15, 400.006])
    assert np.abs(centikelvin(kelvin) / 100 - kelvin).max() <= 0.0051


@pytest.mark.parametrize("brightness", [0.01, 0.3])
def test_automatic_exposure_evens_out_daylight(brightness):
    scene = np.random.default_rng(0).uniform(0.5, 1.5, (40, 50, 3)).astype(np.float32) * brightness
    shown = expose(scene, np.random.default_rng(1))
    assert 90 < shown.mean() < 150


def test_a_camera_in_a_moving_car_sees_the_day_as_any_and_the_night_darker():
    scene = np.random.default_rng(0).uniform(0.5, 1.5, (40, 50, 3)).astype(np.float32)
    day, night = scene * 0.05, scene * 1e-5
    shown = {
        name: [expose(part, np.random.default_rng(1), **more) for part in (day, night)]
        for name, more in (("still", {}), ("moving", {"largest": VIDEO_GAIN}))
    }
    assert np.array_equal(shown["still"][0], shown["moving"][0])
    assert shown["moving"][1].mean() < 0.7 * shown["still"][1].mean()
