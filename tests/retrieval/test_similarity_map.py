"""Similarity maps: what brought two images together is where the map is warm, however the masks are passed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.bands import Band
from crossband.errors import CrossbandError
from crossband.io import Image, read_image
from crossband.retrieval import Descriptor, Options
from crossband.retrieval.descriptor.descriptor import Finish
from crossband.retrieval.similarity_map import Masks, similarity_map
from crossband.simulation import simulate

SIZE = Options(size=(128, 128), device="cpu")


def one_at_a_time(descriptor, image, band, reference, finish, masks):
    """Dong et al., by the book: mask, describe, compare, spread over the window."""
    whole = finish(descriptor.pooled(image[None]).numpy(), band)[0]
    distance = np.linalg.norm(whole - reference)
    total, count = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
    for y, x in masks.corners(tuple(image.shape[1:])):
        masked = image.clone()
        masked[:, y : y + masks.window, x : x + masks.window] = image.mean((1, 2))[:, None, None]
        vector = finish(descriptor.pooled(masked[None]).numpy(), band)[0]
        total[y : y + masks.window, x : x + masks.window] += max(
            np.linalg.norm(vector - reference) - distance, 0
        )
        count[y : y + masks.window, x : x + masks.window] += 1
    return total / count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0@blocks.4:avg5s3+center", "hog", "efficientnet_lite0"])
def test_batched_masks_give_the_map_of_one_at_a_time(name):
    torch.manual_seed(0)
    descriptor = Descriptor.load(name, SIZE)
    images = torch.rand(1, 3, 128, 128).repeat(2, 1, 1, 1)
    images[1] += 0.2 * torch.rand(3, 128, 128)
    vectors = descriptor.pooled(images).numpy()
    means = {Band.RGB: vectors.mean(0) * 0.01}
    finish = descriptor.finish(means if descriptor.center else None)
    reference = finish(vectors, Band.RGB)[1]
    masks = Masks(32, 20)
    batched = similarity_map(descriptor, images[0], Band.RGB, reference, finish, masks, batch=5, workers=2)
    single = one_at_a_time(descriptor, images[0], Band.RGB, reference, finish, masks)
    assert np.allclose(batched.values, single, atol=1e-5)
    assert batched.values.max() > 1e-4


def test_the_map_is_warm_where_the_two_images_agree():
    descriptor = Descriptor.load("hog:flat", SIZE)
    rng = np.random.default_rng(0)
    patch = (rng.random((32, 32)) > 0.5).astype(np.uint8) * 255
    pixels = np.full((2, 128, 128), 128, np.uint8)
    pixels[:, 64:96, 16:48] = patch
    tensors = torch.stack([descriptor.preprocess(Image(one), Band.RGB) for one in pixels])
    reference = descriptor.pooled(tensors[1:]).numpy()[0]
    found = similarity_map(descriptor, tensors[0], Band.RGB, reference, Finish(), Masks(32, 16))
    row, column = found.peak()
    assert 64 <= row < 96
    assert 16 <= column < 48
    assert found.distance == pytest.approx(0, abs=1e-6)
    assert found.values[:24].max() < 0.01 * found.values.max()


@pytest.mark.slow
def test_the_map_of_a_city_pair_peaks_on_the_object_that_was_put_there(tmp_path):
    """A warm block on a bare street, in both bands: hidden, the pair falls apart."""
    frames = simulate("retrieval", 2, (128, 160), 0, tmp_path, workers=1)
    descriptor = Descriptor.load("crossband", SIZE)
    tensors = {}
    for band in (Band.RGB, Band.TIR):
        image = read_image(frames.paths(band)[0], band, frames.units()[0])
        pixels = image.pixels.copy()
        low, high = pixels.min(), pixels.max()
        board = np.indices((48, 48)).sum(0) // 8 % 2
        board = np.where(board, high, low).astype(pixels.dtype)
        pixels[40:88, 60:108] = board[..., None] if pixels.ndim == 3 else board
        tensors[band] = descriptor.preprocess(Image(pixels, image.units), band)
    vectors = {band: descriptor.pooled(one[None]).numpy() for band, one in tensors.items()}
    reference = vectors[Band.TIR][0] / np.linalg.norm(vectors[Band.TIR][0])
    zero = {band: np.zeros(vectors[band].shape[1], np.float32) for band in vectors}
    finish = descriptor.finish(zero)
    found = similarity_map(descriptor, tensors[Band.RGB], Band.RGB, reference, finish, Masks(32, 8))
    row, column = found.peak()
    assert 40 <= row < 88
    assert 60 / 160 * 128 <= column < 108 / 160 * 128


@pytest.mark.parametrize("masks", [Masks(0), Masks(200), Masks(8, 0)])
def test_masks_that_do_not_fit_are_one_sentence(masks):
    with pytest.raises(CrossbandError, match="128"):
        masks.corners((128, 128))


def test_masks_cover_every_pixel():
    covered = np.zeros((50, 70))
    for y, x in Masks(16, 11).corners((50, 70)):
        covered[y : y + 16, x : x + 16] += 1
    assert covered.min() >= 1
