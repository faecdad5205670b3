"""Losses of further outputs against their definitions, written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from crossband.losses.heads import HEAD_LOSSES, borders, cell_targets


def test_a_border_is_where_a_neighbor_is_of_another_class():
    labels = torch.zeros(1, 6, 6, dtype=torch.int64)
    labels[0, 2:5, 2:5] = 4
    labels[0, 0, 0] = 255
    found = borders(labels)
    for y in range(6):
        for x in range(6):
            around = labels[0, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            wanted = 255 if (around == 255).any() else int(around.unique().numel() > 1)
            assert int(found[0, y, x]) == wanted


def test_a_cell_shows_a_class_that_covers_more_than_a_hundredth_of_it():
    labels = torch.zeros(1, 20, 40, dtype=torch.int64)
    labels[0, 0, 0] = 1  # one of 400 pixels: too little to tell
    labels[0, :5, 20:25] = 2
    found = cell_targets(labels, 4, (1, 2))
    assert found[0, 0].tolist() == [[1.0, 1.0]]
    assert bool(found[0, 1, 0, 0].isnan())
    assert found[0, 2].tolist() == [[0.0, 1.0]]
    assert found[0, 3].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", HEAD_LOSSES)
def test_what_is_right_costs_less_than_what_is_wrong_and_unknown_pixels_nothing(name):
    labels = torch.zeros(2, 8, 8, dtype=torch.int64)
    labels[:, 2:6, 2:6] = 1
    edge = borders(labels)
    truth = edge if name.startswith("border") else (labels != 0).long()
    if name == "cells":
        right = 8 * (cell_targets(labels, 3, (2, 2)) - 0.5)
    elif "logit" in name or "focal" in name:
        right = 8 * (truth[:, None].float() - 0.5)
    else:
        right = 8 * (F.one_hot(truth, 2).movedim(-1, 1).float() - 0.5)
    right = right.nan_to_num().requires_grad_()
    loss = HEAD_LOSSES.get(name)
    good, bad = loss(right, labels), loss(-right, labels)
    assert 0 <= float(good.detach()) < 0.1 < float(bad.detach())
    if name != "cells":
        assert float(loss(right, torch.full_like(labels, 255)).detach()) == 0
    good.backward()
    assert bool(right.grad.isfinite().all())


def test_an_output_of_another_size_is_resized():
    labels = torch.randint(0, 3, (1, 8, 12))
    coarse = torch.randn(1, 2, 4, 6)
    fine = F.interpolate(coarse, (8, 12), mode="bilinear", align_corners=False)
    loss = HEAD_LOSSES.get("foreground")
    assert loss(coarse, labels).item() == pytest.approx(loss(fine, labels).item())
