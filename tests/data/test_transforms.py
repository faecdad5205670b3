"""Augmentation keeps shape and range, and depends on its generator alone."""

from __future__ import annotations

import pytest
import torch

from crossband.bands import BANDS, Band
from crossband.data.transforms import Blur, Erase, LabeledView, Photometry, ViewShift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


IMAGE = torch.rand(3, 12, 16, generator=generator(9))


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("seed", range(5))
def test_photometry_keeps_shape_and_range(band, seed):
    out = Photometry(1.0, invert_tir=0.5)(IMAGE, band, generator(seed))
    assert out.shape == IMAGE.shape
    assert out.min() >= 0
    assert out.max() <= 1
    assert not torch.equal(out, IMAGE)


def test_the_same_generator_gives_the_same_image_whatever_the_global_one():
    first = Photometry(1.0)(ViewShift(0.3)(IMAGE, generator(1)), Band.RGB, generator(2))
    torch.manual_seed(123)
    torch.rand(5)
    assert torch.equal(Photometry(1.0)(ViewShift(0.3)(IMAGE, generator(1)), Band.RGB, generator(2)), first)


def test_strength_zero_does_nothing():
    assert torch.equal(Photometry()(IMAGE, Band.TIR, generator()), IMAGE)
    assert torch.equal(ViewShift()(IMAGE, generator()), IMAGE)


def test_only_thermal_images_are_inverted():
    always = Photometry(0.0, invert_tir=1.0)
    assert torch.equal(always(IMAGE, Band.TIR, generator()), 1 - IMAGE)
    assert torch.equal(always(IMAGE, Band.RGB, generator()), IMAGE)


def test_a_view_shift_is_a_crop_of_the_image():
    flat = torch.full((1, 10, 10), 0.4)
    assert torch.allclose(ViewShift(0.5)(flat, generator()), flat)
    ramp = torch.arange(20.0).expand(1, 20, 20)
    out = ViewShift(0.5)(ramp, generator(3))
    assert 0 <= out.min() <= out.max() <= 19
    assert (out.diff(dim=2) >= -1e-6).all()


def labeled_grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Labels in blocks of 8 pixels, and images that show the same numbers."""
    labels = (torch.arange(48)[:, None] // 8 + torch.arange(64)[None] // 8) % 5
    return labels.float()[None].expand(4, -1, -1) / 10, labels


@pytest.mark.parametrize(
    "view",
    [
        LabeledView(mirror=1.0),
        LabeledView(crop=(24, 32)),
        LabeledView(rotate=10),
        LabeledView(zoom=(1.5, 2.0), crop=(24, 32)),
        LabeledView(mirror=0.5, rotate=10, zoom=(0.7, 1.5), crop=(40, 40)),
    ],
)
def test_images_and_labels_go_through_the_same_geometry(view):
    images, labels = labeled_grid()
    for seed in range(5):
        seen, known = view(images, labels, torch.Generator().manual_seed(seed))
        assert seen.shape[1:] == known.shape
        assert known.dtype == torch.int64
        valid = known != 255
        assert bool(valid.float().mean() > 0.4)
        right = (seen[0] * 10 - known).abs() < 0.05
        assert float(right[valid].float().mean()) > 0.6  # all but the blurred edges of the blocks
        assert set(known.unique().tolist()) <= {0, 1, 2, 3, 4, 255}


@pytest.mark.parametrize("at", [(3, 60), (24, 30), (47, 0)])
@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_a_crop_around_a_pixel_shows_it_wherever_it_lies(at, mirror):
    labels = torch.zeros(48, 64, dtype=torch.int64)
    labels[at] = 3
    view = LabeledView(mirror=mirror, crop=(16, 16), zoom=(1.5, 2.0))
    for seed in range(8):
        _, known = view(torch.zeros(1, 48, 64), labels, torch.Generator().manual_seed(seed), at)
        assert (known == 3).any()


def test_what_lies_beyond_the_border_is_ignored():
    images, labels = labeled_grid()
    _, known = LabeledView(zoom=(0.5, 0.5), crop=(48, 64))(images, labels, torch.Generator().manual_seed(0))
    assert int((known != 255).sum()) == 24 * 32
    assert LabeledView()(images, labels, torch.Generator())[1].equal(labels)


def test_a_share_of_frames_is_blurred_as_opencv_does_it():
    image = torch.rand(4, 20, 24, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert Blur()(image, generator) is image
    found = [Blur(0.5)(image, generator) for _ in range(200)]
    assert 70 < sum(one is not image for one in found) < 130
    blurred = Blur(1.0)(image, generator)
    cv2 = pytest.importorskip("cv2", reason="OpenCV is an extra: crossband[vision]")
    wanted = cv2.GaussianBlur(image.permute(1, 2, 0).numpy(), (5, 5), 0)
    assert torch.allclose(blurred, torch.from_numpy(wanted).permute(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_erased_is_one_rectangle_of_one_gray_and_the_rest_is_untouched(seed):
    image = torch.rand(5, 40, 60, generator=generator(seed)) / 2 + 2  # no gray is as bright
    out = Erase(1.0)(image, generator(seed))
    gone = (out != image).all(0)
    assert torch.equal(out[:, ~gone], image[:, ~gone])
    rows, columns = gone.any(1).nonzero()[:, 0], gone.any(0).nonzero()[:, 0]
    assert gone[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert 4 <= len(rows) <= 20
    assert 6 <= len(columns) <= 30
    assert len(out[:, gone].unique()) == 1


def test_a_share_of_the_images_is_erased():
    image = torch.full((1, 8, 8), 2.0)
    draws = generator(5)
    erased = sum(bool((Erase(0.3)(image, draws) != image).any()) for _ in range(400))
    assert 80 < erased < 160
