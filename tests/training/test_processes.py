"""Several processes, and processes that die, come to the same as one left alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from crossband.errors import CrossbandError
from crossband.locks import alone_in
from crossband.training import engine, read_recipe, train
from crossband.training.task import Task, find_task

from .test_train import figures

SCRIPT = """
import json, os, pathlib, sys
import torch
from crossband.training import read_recipe, train

if __name__ == "__main__":
    torch.set_num_threads(1)
    (pathlib.Path(sys.argv[0]).parent / f"{os.getpid()}.pid").touch()
    train(read_recipe(json.loads(sys.argv[1])), (), sys.argv[2], data_root=sys.argv[3])
"""


@pytest.fixture
def start(tmp_path, street):
    """``start(recipe, name)`` trains in a process of its own, into ``tmp_path / name``."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def begin(recipe: dict, name: str) -> subprocess.Popen:
        command = [sys.executable, str(script), json.dumps(recipe), str(tmp_path / name), str(street)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})

    return begin


@pytest.fixture
def one_thread():
    """Sums in the order of the script's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_processes_have_the_losses_and_the_weights_of_one(recipe, start, street, tmp_path):
    two = start(recipe(trainer={"epochs": 1, "processes": 2}), "2")
    train(read_recipe(recipe(trainer={"epochs": 1})), (), tmp_path / "1", data_root=street)
    finish(two)
    assert figures(tmp_path / "1", "loss") == pytest.approx(figures(tmp_path / "2", "loss"), abs=1e-5)
    one, two = (torch.load(tmp_path / n / "state.pt", weights_only=True)["network"] for n in ("1", "2"))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=1e-4), name
    assert figures(tmp_path / "1", "val/fcm@2") == figures(tmp_path / "2", "val/fcm@2")


@pytest.mark.slow
def test_a_process_killed_by_the_system_goes_on_to_the_same_weights(
    recipe, start, street, tmp_path, one_thread
):
    content = recipe(trainer={"epochs": 6}, loss={"name": "arcface"}, optimizer={"schedule": "cosine"})
    killed = start(content, "killed")
    state = tmp_path / "killed" / "state.pt"
    _wait_for(state, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    reached = torch.load(state, weights_only=True)
    assert not reached["finished"]
    again = start(content, "killed")
    train(read_recipe(content), (), tmp_path / "whole", data_root=street)
    finish(again)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "killed")]
    for part in ("network", "criterion"):
        assert all(torch.equal(value, states[1][part][name]) for name, value in states[0][part].items())


@pytest.mark.slow
def test_two_processes_of_torchrun_are_killed_and_one_goes_on_to_the_same_losses(
    recipe, street, tmp_path, one_thread
):
    content = recipe(trainer={"epochs": 2, "batch_size": 2, "accumulate": 2}, optimizer={"schedule": "cosine"})
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, str(tmp_path / "script.py"), json.dumps(content), str(tmp_path / "two"), str(street)]
    two = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _wait_for(tmp_path / "two" / "state.pt", two)
    finally:
        for pid in [two.pid, *(int(path.stem) for path in tmp_path.glob("*.pid"))]:  # each in its own session
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        two.wait()
    with alone_in(tmp_path / "two"):  # the last of them is gone
        pass
    reached = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    assert not reached["finished"]
    assert reached["step"] >= 2
    for name in ("two", "whole"):
        train(read_recipe(content), (), tmp_path / name, data_root=street)
    assert figures(tmp_path / "two", "loss") == pytest.approx(figures(tmp_path / "whole", "loss"), abs=1e-5)
    one, other = (torch.load(tmp_path / n / "state.pt", weights_only=True)["network"] for n in ("whole", "two"))
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-4), name


def test_a_folder_that_another_process_trains_into_is_refused_and_left(recipe, street, tmp_path):
    (tmp_path / "run").mkdir()
    with alone_in(tmp_path / "run"), pytest.raises(CrossbandError, match="another process is training"):
        train(read_recipe(recipe()), (), tmp_path / "run", data_root=street)
    assert not any((tmp_path / "run").iterdir())


def test_devices_are_the_processes_of_the_trainer(recipe, street, tmp_path):
    with pytest.raises(CrossbandError, match=r"must be divisible by trainer\.processes 3"):
        train(read_recipe(recipe()), ["trainer.batch_size=4"], tmp_path, data_root=street, devices=3)


def task_of(content: dict, root: Path) -> Task:
    made = read_recipe(content)
    return find_task(made.task).build(made, root)


def test_processes_are_measured_once_for_a_run(recipe, street, monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "quicker_as_two", lambda task, batch, setting: asked.append(batch) or True)
    task = task_of(recipe(trainer={"processes": "auto"}), street)
    setting = engine._setting(task, None)
    assert setting.processes == 2
    assert {len(tensor) for tensor in asked[0].values()} == {task.recipe.trainer.batch_size}
    assert engine._setting(task, {"setting": setting.to_json()}) == setting
    assert len(asked) == 1
    assert engine._setting(task, {"setting": {"precision": "32-true", "channels_last": False}}).processes == 2
    assert len(asked) == 2  # an older version measured none
    monkeypatch.setattr(sys, "ps1", "In: ", raising=False)
    assert engine._here(task, setting) == 1  # begun in a shell, it goes on in a notebook


@pytest.mark.parametrize("why", ["odd", "compares", "said"])
def test_processes_are_not_measured_where_none_or_a_number_is_asked(recipe, street, monkeypatch, why):
    monkeypatch.setattr(engine, "quicker_as_two", lambda *args: pytest.fail("was measured"))
    trainer = {"odd": {"batch_size": 3, "processes": "auto"}, "said": {"processes": 2}}
    task = task_of(recipe(trainer=trainer.get(why, {"processes": "auto"})), street)
    task.divides = why != "compares"
    assert engine._here(task, engine._setting(task, None)) == (2 if why == "said" else 1)


def test_processes_that_are_no_number_are_named(recipe):
    for wrong in ("two", 0, 257, 1.5):
        with pytest.raises(CrossbandError, match=r"trainer\.processes is a number from 1 to 256, or auto"):
            read_recipe(recipe(trainer={"processes": wrong}))


@pytest.mark.parametrize(
    ("name", "divides"),
    [
        ("detection", True),
        ("labeling", True),
        ("localization", False),  # a tile chooses among its batch, as
        ("objects", False),
        ("pairs", False),
        ("reidentification", False),
        ("places", True),
        ("segmentation", True),
        ("translation", True),
    ],
)
def test_losses_that_compare_samples_are_not_divided(name, divides):
    build = find_task(name).build
    assert build.divides is divides


@pytest.mark.slow
def test_a_script_without_a_guard_trains_once_and_is_told(recipe, street, tmp_path):
    script = tmp_path / "script.py"
    content = recipe(trainer={"epochs": 1, "processes": "auto"})
    script.write_text(
        "import json, torch\nfrom crossband.training import read_recipe, train\ntorch.set_num_threads(2)\n"
        f"train(read_recipe(json.loads({json.dumps(content)!r})), (), {str(tmp_path / 'run')!r}, "
        f"data_root={str(street)!r})\nprint('trained')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained") == 1
    assert '__name__ == "__main__"' in done.stderr
    assert "trains in one process" in done.stderr


def test_a_run_goes_on_with_other_processes_but_not_with_another_batch(recipe):
    one = read_recipe(recipe(trainer={"processes": 2}))
    assert engine._same_recipe(read_recipe(recipe()), one.model_dump_json())
    assert not engine._same_recipe(read_recipe(recipe(trainer={"batch_size": 8})), one.model_dump_json())


def _wait_for(path: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 300
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
