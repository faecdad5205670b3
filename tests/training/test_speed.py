"""The measurement at the start of a run takes the quickest setting and leaves everything as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossband.training.speed import Setting, quickest


class Toy:
    """As much of a task as is measured."""

    def __init__(self):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
        self.criterion = nn.Identity()
        self.seen = []

    def loss(self, batch):
        found = self.network(batch["image"])
        self.seen.append(found.dtype)
        return found.float().square().mean()


def clock_of(costs):
    """A clock that runs as if each step of each setting, in the order they are tried, took so long."""
    now, readings = 0.0, []
    for cost in costs:
        for _ in range(3):
            readings += [now, now + cost]
            now += cost
    return iter(readings).__next__


@pytest.mark.slow
@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((1.0, 0.5, 0.9, 0.4), Setting("bf16-mixed", True)),
        ((1.0, 1.5, 0.7, 1.1), Setting("32-true", True)),
        ((1.0, 0.95, 1.0, 0.95), Setting()),
    ],
)
def test_the_quickest_is_taken_where_it_clearly_is(costs, expected):
    task = Toy()
    assert quickest(task, {"image": torch.rand(2, 3, 8, 8)}, 2, clock_of(costs)) == expected
    assert {torch.float32, torch.bfloat16} <= set(task.seen)


def test_network_statistics_gradients_and_random_numbers_are_as_before():
    task = Toy()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    quickest(task, {"image": torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))}, 1)
    assert torch.equal(torch.rand(3), expected)
    for name, value in task.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not task.network.training
    assert all(parameter.grad is None for parameter in task.network.parameters())
