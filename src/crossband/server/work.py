"""The process of one job: calls the library's function and writes how far it is."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CrossbandError
from ..files import read_json, write_file

__all__ = ["Reported", "run"]

_LINE = re.compile(r"^(.{1,80}) (\d+)/(\d+) \w+, ")
_NOTES, _LONGEST, _STAGES = 50, 400, 30
_EVERY = 0.2  # seconds between two writings of how far it is


class Reported(io.TextIOBase):
    """Standard error of a job: lines of progress become its state, the others are kept as notes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = Reported(Path(folder) / "a.state.json")
        ...     _ = report.write("embedding with hog 3/20 images, 4.0/s, 4 s left\\nleft out: a.png\\n")
        ...     [report.state[name] for name in ("stages", "notes")]
        [[{'name': 'embedding with hog', 'done': 3, 'total': 20}], ['left out: a.png']]
    """

    def __init__(self, path: Path) -> None:
        self._path, self._began, self._rest = path, time.time(), ""
        self._saved = 0.0
        self.state: dict[str, Any] = {"status": "running", "stages": [], "notes": []}
        self.save()

    def write(self, text: str) -> int:
        """Take in what is written."""
        *lines, self._rest = (self._rest + text).split("\n")
        news = False
        for line in lines:
            found = _LINE.match(line)
            if found is not None:
                news |= self._advance(found[1], int(found[2]), int(found[3]))
            elif line.strip():
                self.state["notes"] = [*self.state["notes"], line[:_LONGEST]][-_NOTES:]
                news = True
        if news or (lines and time.time() > self._saved + _EVERY):
            self.save()
        return len(text)

    def _advance(self, name: str, done: int, total: int) -> bool:
        """Note how far a stage is; whether it is a new one."""
        now = {"name": name, "done": done, "total": total}
        stages = self.state["stages"]
        known = [row for row, stage in enumerate(stages) if stage["name"] == name]
        if known:
            stages[known[0]] = now
        else:
            self.state["stages"] = [*stages, now][-_STAGES:]
        return not known

    def save(self, **more: Any) -> None:
        """Write the state."""
        self._saved = time.time()
        self.state |= more | {"seconds": self._saved - self._began}
        write_file(self._path, json.dumps(self.state))


def run(folder: Path, name: str) -> None:
    """Do a job."""
    spec = read_json(folder / f"{name}.json")
    report = Reported(folder / f"{name}.state.json")
    sys.stderr = report
    try:
        result = _KINDS[spec["kind"]](**spec["arguments"])
    except CrossbandError as error:
        report.save(status="failed", error=str(error))
    except Exception as error:
        report.save(status="failed", error=f"{type(error).__name__}; the log of the job says more")
        sys.stderr = sys.__stderr__
        raise
    else:  # what took the last item of a stage need not have said so
        stages = [{**stage, "done": stage["total"]} for stage in report.state["stages"]]
        report.save(status="done", result=result, stages=stages)


def _index(folder: str, gallery: str, bands: list[str] | None, local: bool, shown: str) -> dict[str, Any]:
    from ..datasets import open_frames
    from ..retrieval import index

    added = index(open_frames(folder), gallery, bands=bands, local=local)
    left = [f"{Path(fault.path).name}: {fault.reason}" for fault in added.faults[:_NOTES]]
    counts = {"added": added.added, "replaced": added.replaced, "updated": added.updated}
    return {**counts, "unchanged": added.unchanged, "left_out": left}


def _flight(photo: str, flight: str, map: str, models: str, out: str, k: int, shown: str) -> dict[str, Any]:
    from ..object_search import reid

    found = reid(photo, flight=flight, map=map, models=models, out=out, k=k)
    return {"flight": Path(out).name, "matches": len(getattr(found, "matches", []))}


_KINDS: dict[str, Callable[..., dict[str, Any]]] = {"index": _index, "flight": _flight}

if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
