"""The loss of the center detector: what it wants, and that a network learns it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossband.losses.center import center_loss, draw_centers
from crossband.models.center_detector import STRIDE, CenterDetector

TARGETS = torch.tensor([[0, 1, 8.0, 12.0, 40.0, 28.0], [1, 0, 20.0, 20.0, 30.0, 30.0]])


def perfect(targets: torch.Tensor, classes: int = 2, cells: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network would say that knows the objects."""
    heat = torch.full((2, classes, cells, cells), -12.0)
    sides = torch.ones(2, classes, 4, cells, cells)
    at = (torch.arange(cells) + 0.5) * STRIDE
    for image, kind, left, top, right, bottom in targets.tolist():
        row, column = int((top + bottom) / 2 / STRIDE), int((left + right) / 2 / STRIDE)
        heat[int(image), int(kind), row, column] = 12.0
        x, y = at[None].expand(cells, -1), at[:, None].expand(-1, cells)
        sides[int(image), int(kind)] = torch.stack([x - left, y - top, right - x, bottom - y])
    return heat, sides


def test_the_gaussian_of_an_object_is_one_at_its_center_and_follows_both_sides():
    drawn = draw_centers(torch.tensor([[0, 0, 0.0, 24.0, 64.0, 40.0]]), (16, 16))[0]
    row, column = np.unravel_index(int(drawn.argmax()), drawn.shape)
    assert (int(row), int(column), float(drawn.max())) == (8, 8, 1.0)
    assert drawn[8, 10] > drawn[10, 8]


@pytest.mark.slow
def test_a_perfect_answer_costs_nothing_and_a_moved_or_misnamed_one_more():
    network = CenterDetector(2, width=8)
    heat, sides = perfect(TARGETS)
    good = center_loss(network, (heat, sides), TARGETS)
    assert float(good) < 1e-3
    assert center_loss(network, (heat, 2 * sides), TARGETS) > good + 0.5
    assert center_loss(network, (heat.flip(1), sides), TARGETS) > good + 1


def test_a_perfect_answer_is_detected_where_the_objects_are(monkeypatch):
    network = CenterDetector(2, width=8).eval()
    monkeypatch.setattr(network, "forward", lambda images: perfect(TARGETS))
    found = network.detect(torch.zeros(2, 1, 64, 64))
    for image, boxes in enumerate(found):
        expected = TARGETS[TARGETS[:, 0] == image][0]
        torch.testing.assert_close(boxes[0, :4], expected[2:6])
        assert (len(boxes), int(boxes[0, 5])) == (1, int(expected[1]))


def test_a_bicycle_and_its_rider_have_one_center_and_a_box_each():
    both = torch.tensor([[0, 0, 14.0, 10.0, 22.0, 26.0], [0, 1, 16.0, 14.0, 20.0, 22.0]])
    network = CenterDetector(2, width=8)
    heat, sides = perfect(both)
    assert float(center_loss(network, (heat, sides), both)) < 1e-3
    found = next(iter(network.candidates((heat, sides), 0.5)))
    torch.testing.assert_close(found[0][found[2].argsort()], both[:, 2:])


def test_weights_of_one_box_for_all_classes_begin_alike_for_each():
    network, older = CenterDetector(3, width=8), CenterDetector(3, width=8).state_dict()
    older["sides.1.weight"], older["sides.1.bias"] = torch.rand(4, 8, 1, 1), torch.rand(4)
    network.load_state_dict(older)
    _, sides = network.eval()(torch.rand(1, 1, 32, 32))
    assert torch.equal(sides[:, 0], sides[:, 2])
    assert not torch.equal(sides[:, :, 0], sides[:, :, 1])


def test_a_detector_that_reads_the_map_begins_as_the_one_that_does_not_and_learns_from_it():
    plain, mapped = CenterDetector(2, width=8).eval(), CenterDetector(2, width=8, semantics=5).eval()
    mapped.load_state_dict(plain.state_dict(), strict=False)
    images = torch.rand(1, 6, 60, 70)
    for one, other in zip(plain(images[:, :1]), mapped(images), strict=True):
        torch.testing.assert_close(one, other)
    center_loss(mapped, mapped(images), TARGETS[:1]).backward()
    assert float(mapped.ground.weight.grad.abs().sum()) > 0


def test_a_batch_without_objects_has_a_finite_loss_with_gradients():
    network = CenterDetector(2, width=8)
    loss = center_loss(network, network(torch.zeros(1, 1, 64, 64)), torch.zeros(0, 6))
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.slow
def test_the_network_learns_one_image():
    torch.manual_seed(0)
    network = CenterDetector(2, width=16)
    images = torch.zeros(1, 1, 64, 64)
    images[0, 0, 12:28, 8:40] = 2.0
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 2e-3)
    for _ in range(40):
        loss = center_loss(network, network(images), TARGETS[:1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = network.eval().detect(images)[0][0]
    assert int(best[5]) == 1
    assert float((best[:4] - TARGETS[0, 2:]).abs().max()) < 6


def test_in_a_crowd_a_peak_of_its_class_costs_nothing_and_of_another_as_much_as_anywhere():
    network = CenterDetector(2, width=8)
    heat, sides = perfect(TARGETS)
    crowd = torch.tensor([[0, 1, 48.0, 48.0, 56.0, 56.0]])
    good = center_loss(network, (heat, sides), TARGETS, crowd)
    for kind, free in ((1, True), (0, False)):
        said = heat.clone()
        said[0, kind, 49 // STRIDE, 49 // STRIDE] = 6.0
        assert (center_loss(network, (said, sides), TARGETS, crowd) < good + 1e-3) == free
        assert center_loss(network, (said, sides), TARGETS) > good + 0.5


def test_with_mirror_images_what_is_found_in_a_mirror_is_the_mirror_image_of_what_is_found():
    torch.manual_seed(0)
    network = CenterDetector(2, width=8, mirror=True).eval()
    images = torch.rand(1, 1, 64, 96) * 4
    heat, sides = network.outputs(images)
    turned, others = (one.flip(-1) for one in network.outputs(images.flip(-1)))
    torch.testing.assert_close(heat, turned, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(sides, others[:, :, [2, 1, 0, 3]], atol=1e-3, rtol=1e-3)
    network.mirror = False
    assert not torch.allclose(network.outputs(images)[0], heat, atol=1e-2)
