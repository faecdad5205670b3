"""What the tests of the verbs share: a command run in this process, six pairs, and a gallery of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from crossband import cli

from ..uav.conftest import networks, photo, world  # noqa: F401  (fixtures)

HOG = ("--models", "hog", "--size", "64x64")


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def crossband(monkeypatch, capsys, tmp_path) -> Run:
    """Runs a command in this process, in a folder of its own, offline."""
    for name in ("CROSSBAND_WEIGHTS", "CROSSBAND_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CROSSBAND_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["crossband", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Done(int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, make_pairs) -> Path:
    """Six pairs. Not to be changed."""
    return make_pairs(tmp_path_factory.mktemp("set") / "pairs", n=6)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def gallery(crossband, pairs, store) -> Path:
    """A gallery of the thermal images, in the folder the commands run in."""
    done = crossband(
        "index", pairs, "--gallery", "g", "--model", "hog", "--band", "tir", "--size", "64x64", "--store", store
    )
    assert done.status == 0, done.err
    return Path("g")


def refused(done: Done, *parts: str) -> None:
    """Status 2, nothing on standard output, and one sentence on standard error that holds all parts."""
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("crossband: ")
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done.err
