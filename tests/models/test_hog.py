"""The weightless baseline against a plain loop, and what makes it the same in every band."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crossband.models import create_encoder
from crossband.models.hog import HOG


def _reference_hog(image: np.ndarray, bins: int, cell: int) -> np.ndarray:
    """One pixel at a time, from the definition."""
    height, width = image.shape
    padded = np.pad(image, 1, mode="edge")
    out = np.zeros((bins, height // cell, width // cell))
    for y in range(height // cell * cell):
        for x in range(width // cell * cell):
            dx = (padded[y + 1, x + 2] - padded[y + 1, x]) / 2
            dy = (padded[y + 2, x + 1] - padded[y, x + 1]) / 2
            position = (math.atan2(dy, dx) % math.pi) * bins / math.pi
            low = math.floor(position)
            for index, share in ((low, 1 - (position - low)), (low + 1, position - low)):
                out[index % bins, y // cell, x // cell] += share * math.hypot(dx, dy) / cell**2
    return out


@pytest.mark.parametrize(("height", "width", "cell"), [(32, 48, 16), (20, 25, 8)])
def test_it_is_the_plain_loop(height, width, cell):
    gray = np.random.default_rng(0).random((height, width))
    images = torch.from_numpy(gray).expand(1, 3, -1, -1)
    found = HOG(cell=cell)(images)[0].numpy()
    np.testing.assert_allclose(found, _reference_hog(gray, 8, cell), atol=1e-12)


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_an_edge_votes_for_the_orientation_of_its_gradient(angle):
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramp = (x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))) / 50
    votes = HOG()(ramp.expand(1, 3, -1, -1))[0, :, 0, 0]
    assert votes.argmax().item() == angle * 8 / 180


def test_inverting_contrast_changes_nothing():
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(HOG()(images), HOG()(1 - images), atol=1e-6, rtol=0)


def test_it_needs_no_weights_and_has_no_parameters():
    encoder = create_encoder("hog")
    digest = encoder.digest
    assert digest == ""
    assert sum(p.numel() for p in encoder.parameters()) == 0
    assert encoder(torch.rand(2, 3, 320, 320)).shape == (2, 8, 20, 20)
