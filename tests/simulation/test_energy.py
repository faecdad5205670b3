import numpy as np
import pytest

from crossband.errors import CrossbandError
from crossband.simulation.energy import ORIENTATIONS, nearest_orientation, solve
from crossband.simulation.materials import M, column
from crossband.simulation.sun import clear_sky, sun_direction
from crossband.simulation.weather import WEATHERS, sky_emissivity, weather

LATITUDE, DAY = 48.7, 172
UP, SOUTH = 0, int(nearest_orientation(np.array([[0.0, -1.0, 0.0]]))[0])


def _lit(hour, material, orientation=UP, name="clear"):
    return float(solve(weather(name), DAY, hour, LATITUDE).lit()[material, orientation])


def test_the_sun_culminates_in_the_south_at_the_right_height():
    noon = sun_direction(DAY, 12.0, LATITUDE)
    assert np.degrees(np.arcsin(noon[2])) == pytest.approx(90 - LATITUDE + 23.45, abs=0.1)
    assert noon[0] == pytest.approx(0, abs=1e-9)
    assert noon[1] < 0
    assert sun_direction(DAY, 8.0, LATITUDE)[0] > 0 > sun_direction(DAY, 16.0, LATITUDE)[0]


def test_sunshine_grows_with_the_suns_height_and_ends_with_it():
    direct, diffuse = clear_sky(np.array([-0.2, 0.05, 0.3, 0.9]))
    assert direct[0] == 0
    assert diffuse[0] == 0
    assert np.all(np.diff(direct) > 0)
    assert 800 < direct[-1] < 1000


def test_shade_is_cooler_at_noon():
    table = solve(weather("clear"), DAY, 12.5, LATITUDE)
    for material in (M.ASPHALT, M.BRICK, M.CAR_PAINT, M.ROOF_GRAVEL):
        assert table.lit()[material, UP] > table.open[material, UP] + 10


def test_walls_and_ground_under_cover_are_warmer_than_a_roof_at_four_in_a_clear_night():
    table = solve(weather("clear"), DAY, 4.0, LATITUDE)
    roof = table.lit()[M.ROOF_GRAVEL, UP]
    assert table.lit()[M.BRICK, SOUTH] > roof + 2
    assert table.closed[M.ASPHALT, UP] > roof + 2
    assert roof < weather("clear").air(4.0)


def test_clouds_keep_a_roof_warm_at_night():
    clear, cloudy = (solve(weather(n), DAY, 4.0, LATITUDE) for n in ("clear", "cloudy"))
    below_air = [
        float(weather(n).air(4.0) - t.open[M.ROOF_GRAVEL, UP])
        for n, t in (("clear", clear), ("cloudy", cloudy))
    ]
    assert below_air[0] > below_air[1] + 1


@pytest.mark.slow
def test_contrast_of_roof_and_wall_crosses_over_at_dawn_and_at_dusk():
    hours = np.arange(0, 24, 0.5)
    difference = np.array([_lit(h, M.ROOF_TILE) - _lit(h, M.BRICK, SOUTH) for h in hours])
    crossings = hours[np.flatnonzero(np.diff(np.sign(difference)) != 0)]
    sunrise, sunset = 4.0, 20.0
    assert len(crossings) == 2
    assert sunrise <= crossings[0] <= sunrise + 2
    assert sunset - 2 <= crossings[1] <= sunset
    assert difference[hours == 12][0] > 5
    assert difference[hours == 2][0] < -2


def test_the_spans_of_sunlight_add_up_whatever_was_shaded():
    table = solve(weather("clear"), DAY, 15.0, LATITUDE)
    assert np.all(table.gain >= 0)
    assert table.gain[M.CAR_PAINT, UP, 0] > table.gain[M.ASPHALT, UP, 0]  # thin sheets follow the sun
    old = table.gain[:, UP, 2:].sum(axis=1) / table.gain[:, UP].sum(axis=1)
    assert old[M.ASPHALT] > 0.25 > 2 * old[M.CAR_PAINT]  # the road remembers


def test_leaves_stay_near_the_air_and_asphalt_does_not():
    air = float(weather("clear").air(14.0))
    assert abs(_lit(14.0, M.LEAVES) - air) < 10
    assert _lit(14.0, M.ASPHALT) - air > 20


def test_the_red_edge_and_the_emissivities():
    nir, red, emissivity = column("nir"), column("rgb")[:, 0], column("emissivity")
    for plant in (M.LEAVES, M.GRASS):
        assert nir[plant] > 3 * nir[M.ASPHALT]
        assert nir[plant] > 5 * red[plant]
    for metal in (M.STEEL, M.CHROME, M.ROOF_METAL):
        assert emissivity[metal] < 0.3
    assert min(emissivity[M.CAR_PAINT], emissivity[M.PAINTED_STEEL]) > 0.9


def test_every_orientation_is_its_own_nearest():
    assert nearest_orientation(ORIENTATIONS).tolist() == list(range(len(ORIENTATIONS)))


def test_a_moist_or_clouded_sky_radiates_more():
    assert 0.7 < sky_emissivity(278.0, 0) < sky_emissivity(290.0, 0) < sky_emissivity(290.0, 1) < 1


def test_an_unknown_weather_names_the_nearest():
    with pytest.raises(CrossbandError, match="cloudy"):
        weather("clowdy")
    assert set(WEATHERS) == {"clear", "cloudy", "rain", "fog", "frost", "heat"}
