"""Train what a recipe describes."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from ..checkpoints import read_metadata
from ..devices import choose_device
from ..errors import CrossbandError, MissingExtraError
from ..files import make_folder
from ..locks import alone_in
from ..progress import says_once
from ..results import Result
from .distributed import launched
from .recipe import Recipe, read_recipe
from .task import find_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Training", "train"]


@dataclass(frozen=True, repr=False)
class Training(Result):
    """What a run came to.

    Attributes:
        checkpoint: the best network on val.
        monitor: the score that selected it, and ``best`` its value, percent.
        epoch: after how many epochs it was the best.
        seconds: of this call; a run that went on from a state took longer in all.
    """

    checkpoint: str
    monitor: str
    best: float
    epoch: int
    seconds: float

    def to_pandas(self) -> pd.DataFrame:
        """Return every score of the run's log: ``epoch`` and a column for each."""
        from .logs import read_log

        rows = pd.DataFrame(read_log(Path(self.checkpoint).parent), columns=["step", "epoch", "name", "value"])
        rows = rows.astype({"epoch": int, "value": float})
        return rows.pivot_table(index="epoch", columns="name", values="value", aggfunc="last").reset_index()

    def plot(self) -> Figure:
        """Draw the monitored score over the epochs, and the epoch that was kept."""
        from ..reports.plots import plot_curve

        table = self.to_pandas().dropna(subset=[self.monitor])
        return plot_curve(table, "epoch", self.monitor, self.epoch)


@says_once
def train(
    recipe: str | Path | Recipe,
    overrides: Iterable[str] = (),
    out: str | Path = "run",
    *,
    data_root: str | Path = ".",
    devices: int | None = None,
) -> Training:
    """Train what a recipe describes, resuming where an earlier run ended.

    Started by ``torchrun``, its processes train together, on one machine or several that share the folder; the
    recipe's ``trainer.processes`` are then those. Where those are several or ``auto``, a script calls this
    below ``if __name__ == "__main__":``, for each process reads the script first.

    Args:
        recipe: a YAML file.
        overrides: ``key=value``, as in ``optimizer.lr=1e-4``.
        out: the folder of the run: ``best.safetensors``, ``metrics.csv``, ``tensorboard/``, ``state.pt``.
        data_root: the folder that the recipe's frames are relative to.
        devices: processes that train together here; the recipe's ``trainer.processes`` without.

    Raises:
        CrossbandError: a recipe, data or weights that are wrong or missing, a loss that is no number, or
            another process that trains into ``out``.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise CrossbandError(
            'a script whose run may start processes calls train below `if __name__ == "__main__":`; '
            "or set trainer.processes=1"
        )
    folder = Path(out)
    together = [] if devices is None else [f"trainer.processes={devices}"]
    given = read_recipe(recipe, [*overrides, *together])
    start = time.perf_counter()
    try:
        from .engine import BEST, STATE, fit
        from .start import source_of
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"training needs {error.name}; pip install 'crossband[train]'") from None

    choose_device(given.trainer.device)
    if given.start and not (folder / STATE).is_file():
        source_of(given.start)  # before frames are simulated, which takes hours
    new = not folder.exists()
    make_folder(folder)
    with _the_only_run(folder), torch.random.fork_rng():
        with _gone_if_refused(folder, new):
            task = find_task(given.task).build(given, Path(data_root))
            task.check()
        fit(task, folder)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # what is left is the first one's work
        if (launched() or (0,))[0] == 0:
            task.complete(folder / BEST)
    metadata = read_metadata(folder / BEST)
    best = metadata["scores"][task.monitor]
    return Training(str(folder / BEST), task.monitor, best, metadata["epoch"], time.perf_counter() - start)


@contextlib.contextmanager
def _gone_if_refused(folder: Path, new: bool) -> Iterator[None]:
    """Leave no empty folder behind where what a run needs is missing or wrong."""
    try:
        yield
    except CrossbandError:
        if new:
            with contextlib.suppress(OSError):  # another process of this run was first, or has written
                folder.rmdir()
        raise


@contextlib.contextmanager
def _the_only_run(folder: Path) -> Iterator[None]:
    """Let no second run write into the folder: what ``torchrun`` has started may outlive it."""
    if (launched() or (0,))[0] != 0:
        yield  # the first of its processes has the folder
        return
    with alone_in(folder, wait=False) as alone:
        if not alone:
            raise CrossbandError(
                f"another process is training into {folder}; stop it, or choose another folder"
            )
        yield
