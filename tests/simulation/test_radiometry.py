import numpy as np
import pytest

from crossband.simulation.radiometry import band_radiance, brightness_temperature, radiance

_H, _C, _K = 6.62607015e-34, 299792458.0, 1.380649e-23


def _reference_radiance(temperature: float, low: float, high: float) -> float:
    """Planck's law summed by Simpson's rule over 20,001 wavelengths."""
    wavelength = np.linspace(low, high, 20001)
    spectral = 2 * _H * _C**2 / wavelength**5 / np.expm1(_H * _C / (wavelength * _K * temperature))
    step = wavelength[1] - wavelength[0]
    weights = np.ones_like(wavelength)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return float((spectral * weights).sum() * step / 3)


@pytest.mark.parametrize("temperature", [200.0, 253.15, 300.0, 373.15, 800.0])
def test_radiance_is_plancks_integral(temperature):
    reference = _reference_radiance(temperature, 8e-6, 14e-6)
    assert float(radiance(temperature)) == pytest.approx(reference, rel=1e-4)
    assert float(band_radiance(np.array(temperature))) == pytest.approx(reference, rel=1e-4)


def test_the_whole_spectrum_is_stefan_boltzmann():
    whole = float(radiance(300.0, 1e-7, 1e-2)) * np.pi
    assert whole == pytest.approx(5.670374419e-8 * 300.0**4, rel=1e-3)


def test_brightness_temperature_undoes_radiance():
    temperatures = np.linspace(200, 400, 57)
    assert np.abs(brightness_temperature(band_radiance(temperatures)) - temperatures).max() < 2e-3
