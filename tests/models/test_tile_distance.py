"""The distance between a labeling and a tile."""

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.models.tile_distance import TileDistance


def test_what_a_labeling_does_not_show_is_zero_and_the_rest_is_weighed_by_how_much_of_it_is_known():
    torch.manual_seed(0)
    network = TileDistance(5, pixels=32, width=0.25, stages=5).eval()
    labels = torch.randint(0, 5, (1, 32, 32))
    labels[:, :, 16:] = 255
    labels[:, :2, :4] = 255  # half of the first place, of 4 x 4 pixels
    with torch.inference_mode():
        places = network(labels).unflatten(1, (-1, 8, 8))[0]
    lengths = places.norm(dim=0)
    assert float(lengths[:, 4:].max()) == 0
    torch.testing.assert_close(lengths[1:, :4], lengths[1, 1].expand(7, 4))
    torch.testing.assert_close(lengths[0, 0], lengths[1, 1] / 2)


def test_vectors_are_of_unit_length_whatever_is_known():
    network = TileDistance(5, pixels=32, width=0.25, stages=7).eval()
    labels = torch.randint(0, 6, (3, 32, 32))
    with torch.inference_mode():
        vectors = network(labels)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert vectors.shape == (3, network.dim)


@pytest.mark.parametrize("options", [{"pixels": 4096}, {"stages": 0}])
def test_sizes_that_no_recipe_has_are_refused_before_memory_is_taken(options):
    with pytest.raises(CrossbandError):
        TileDistance(5, **options)
