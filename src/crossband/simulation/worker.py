"""One process of a simulation: renders its share of the frames that are not there yet.

Started by :func:`crossband.simulation.simulate` as ``python -m crossband.simulation.worker JOB INDEX COUNT``;
it says the name of each frame on standard output when the frame is complete.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .city import City, build_city
from .files import is_complete, write_frame
from .presets import plan
from .studio import Misalignment, Shot, Studio

__all__ = ["RUN", "Job", "Renderer", "render_share", "render_shots"]

RUN = 5  # frames in a row for one process: they share what is parked


@dataclass(frozen=True)
class Job:
    """What a simulation is; the same job gives the same bytes.

    Attributes:
        preset, frames, height, width, seed: as given by the user.
        samples: rays a pixel.
        misaligned: the thermal camera sits beside the color camera and sees later.
        eight_bit: also write ``tir8``.
        baseline: meters between the two cameras, which then see at the same moment; ``None`` for what
            ``misaligned`` says.
    """

    preset: str
    frames: int
    height: int
    width: int
    seed: int
    samples: int = 4
    misaligned: bool = False
    eight_bit: bool = False
    baseline: float | None = None

    def text(self) -> str:
        """Return the job as JSON."""
        said = {name: value for name, value in asdict(self).items() if name != "baseline" or value is not None}
        return json.dumps(said, sort_keys=True)

    @property
    def misalignment(self) -> Misalignment | None:
        """How the thermal camera differs from the color camera; ``None`` where it does not."""
        if self.baseline is not None:
            return Misalignment(right=self.baseline, down=0.0, delay=0.0)
        return Misalignment() if self.misaligned else None


def render_share(job: Job, out: Path, index: int, count: int) -> Iterator[str]:
    """Render and write the missing frames of process ``index`` of ``count``, yielding their names.

    A name comes when its frame is complete.
    """
    city = build_city(job.seed)
    shots = plan(job.preset, city, job.frames, (job.height, job.width), job.seed)
    yield from render_shots(
        job, out, city, [shot for i, shot in enumerate(shots) if (i // RUN) % count == index]
    )


def render_shots(job: Job, out: Path, city: City, shots: Iterable[Shot]) -> Iterator[str]:
    """Render and write the shots that are not complete; yield the names of their frames."""
    studio = Studio(city)
    for shot in shots:
        if not is_complete(out, shot.frame):
            write_frame(out, shot, studio.take(shot, job.misalignment, job.samples), job.seed, job.eight_bit)
            yield shot.frame


class Renderer:
    """A worker of an engine: it builds the city once, and renders the shots that it is given."""

    def __init__(self, job: Job, out: Path) -> None:
        self._job, self._out, self._city = job, out, build_city(job.seed)

    def __call__(self, shots: Iterable[Shot]) -> Iterator[str]:
        """Render shots; yield the names of those that were not there."""
        return render_shots(self._job, self._out, self._city, shots)


def main(arguments: list[str]) -> None:
    """Run the process; ``arguments`` are the job as JSON, the folder, the index and the count."""
    job, out, index, count = arguments
    for frame in render_share(Job(**json.loads(job)), Path(out), int(index), int(count)):
        print(frame, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
