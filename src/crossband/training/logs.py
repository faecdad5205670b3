"""What a run writes down: one CSV, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..files import disk_errors, write_file
from ..progress import note

__all__ = ["RunLog", "read_log"]

_HEAD = ("step", "epoch", "name", "value")


class RunLog:
    """A long table ``step, epoch, name, value``; a resumed run drops what it will do again.

    Args:
        folder: the run's.
        step: the step the run (re)starts from.
        epoch: the epoch it is in: that one's rows are written again at its end, losses before ``step`` too.
    """

    def __init__(self, folder: Path, step: int = 0, epoch: int | None = None) -> None:
        self._path = folder / "metrics.csv"
        rows = [row for row in read_log(folder) if int(row[0]) <= step] if step else []
        kept = [row for row in rows if epoch is None or int(row[1]) < epoch]
        write_file(self._path, lambda partial: _write_rows(partial, "w", [_HEAD, *kept]))
        self._board = _board(folder, step)

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append some figures; they are on disk when this returns.

        Raises:
            CrossbandError: they cannot be written; the disk is full, say.
        """
        with disk_errors(self._path):
            _write_rows(self._path, "a", [(step, epoch, name, repr(float(v))) for name, v in values.items()])
            if self._board is not None:
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush TensorBoard and close."""
        if self._board is not None:
            with disk_errors(self._path.parent / "tensorboard"):
                self._board.close()


def read_log(folder: Path) -> list[list[str]]:
    """Read the rows of a run's table without its header; none where there is no table."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [row for row in list(csv.reader(file))[1:] if len(row) == len(_HEAD)]


def _write_rows(path: Path, mode: Literal["w", "a"], rows: Iterable[Iterable[object]]) -> None:
    with open(path, mode, encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        note("tensorboard is not installed; metrics go to metrics.csv only")
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)
