"""The measurements at the start of a run take the quickest setting and leave everything as it was."""

from __future__ import annotations

import multiprocessing
import sys

import pytest
import torch
from torch import nn

from crossband.training import speed
from crossband.training.speed import Setting, quicker_as_two, quickest


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


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Halves(Toy):
    """A loss that only half a batch has; it says which one it was asked for."""

    def loss(self, batch):
        assert len(batch["image"]) == 1
        return super().loss(batch)


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "expected"), [(1.0, True), (1e9, False)])
def test_two_processes_step_on_their_halves_and_are_taken_where_clearly_quicker(
    two_threads, monkeypatch, capsys, gain, expected
):
    monkeypatch.setattr(speed, "_step", lambda *args: 1e3)  # alone; the two are processes of their own
    monkeypatch.setattr(speed, "_GAIN", gain)
    assert quicker_as_two(Halves(), {"image": torch.rand(2, 3, 8, 8)}, Setting(), 1) is expected
    assert "one process" not in capsys.readouterr().err


class Fails(Toy):
    """A loss that cannot be computed on half a batch."""

    def loss(self, batch):
        if len(batch["image"]) < 2:
            raise ValueError("one sample is too few")
        return super().loss(batch)


@pytest.mark.slow
def test_one_process_trains_where_two_cannot_be_tried_and_why_is_said(two_threads, capsys):
    assert not quicker_as_two(Fails(), {"image": torch.rand(2, 3, 8, 8)}, Setting(), 1)
    assert "trains in one process; two could not be tried: ValueError: one sample is too few" in (
        capsys.readouterr().err
    )


class Apart(Toy):
    """A loss that reaches another part of the network in each half."""

    def __init__(self):
        super().__init__()
        self.network.other = nn.Conv2d(3, 4, 3)

    def loss(self, batch):
        part = self.network.other if batch["image"].mean() > 0.5 else self.network[0]
        return part(batch["image"]).square().mean()


@pytest.mark.slow
def test_halves_that_reach_other_parameters_can_be_measured(two_threads, capsys):
    images = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    quicker_as_two(Apart(), {"image": images}, Setting(), 1)
    assert "one process" not in capsys.readouterr().err


@pytest.mark.parametrize("where", ["notebook", "pool"])
def test_where_no_processes_can_be_started_one_trains(two_threads, monkeypatch, where):
    if where == "notebook":
        monkeypatch.setattr(sys, "ps1", "In: ", raising=False)
    else:
        monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    monkeypatch.setattr(speed, "_step", lambda *args: 1e3)
    assert not quicker_as_two(Toy(), {"image": torch.rand(2, 3, 8, 8)}, Setting(), 1)


@pytest.mark.slow
def test_network_statistics_gradients_and_random_numbers_are_as_before(two_threads):
    task = Toy()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    batch = {"image": torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))}
    quickest(task, batch, 1)
    quicker_as_two(task, batch, Setting(), 1)
    assert torch.equal(torch.rand(3), expected)
    for name, value in task.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not task.network.training
    assert all(parameter.grad is None for parameter in task.network.parameters())
