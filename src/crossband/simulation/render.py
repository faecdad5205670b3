"""From a preset's name to a folder of pictures, labels and a manifest."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from ..engines import IN_PROCESS, Engine
from ..errors import CrossbandError
from ..files import write_file
from ..frames import Frames
from ..progress import Progress
from .city import City, build_city
from .export import check_layout, export_layout
from .files import is_complete, record_of
from .labels import CATEGORIES
from .map_tiles import write_map
from .presets import PRESETS, plan
from .probes import write_probes
from .studio import Shot
from .worker import RUN, Job, Renderer, render_shots

__all__ = ["simulate"]

_SETTINGS = "simulation.json"
_WORLDS = {"driving": 2, "flight": 2, "streets": 2}
"""By preset, 1 where it is not named; raised whenever the same arguments give other pictures: what an older
version began is not gone on with."""
_LARGEST, _SMALLEST = 4096, 16
_WIDEST = 2.0  # meters between two cameras of a rig


def simulate(
    preset: str = "retrieval",
    frames: int = 100,
    size: tuple[int, int] = (256, 320),
    seed: int = 0,
    out: str | Path = "city",
    *,
    workers: int | None = None,
    misaligned: bool = False,
    baseline: float | None = None,
    eight_bit: bool = False,
    samples: int = 4,
    layout: str | None = None,
    engine: Engine = IN_PROCESS,
) -> Frames:
    """Render the multispectral city: RGB, NIR and thermal, with every label.

    Writes PNG files ``rgb/``, ``nir/`` (8 bits), ``tir/`` (16 bits, centikelvin), ``labels/`` (MFNet's
    classes), ``semantic/`` (:class:`~crossband.simulation.meshes.Kind`), ``instances/``, ``depth/``
    (centimeters), ``temperature/`` (centikelvin, of the surfaces), the boxes ``boxes.json`` (COCO), the
    manifest ``frames.parquet``; for ``uav`` and ``flight`` also ``map/`` and ``probes/``. A run that
    was stopped goes on where it was. The same arguments give the same bytes, whatever the number of workers.

    Args:
        preset: retrieval, places, vehicles, fleet, driving, streets, uav or flight.
        frames: how many.
        size: (height, width) in pixels, 16 to 4096 each.
        seed: of the city and of everything in it; another seed is another city.
        out: folder to write into.
        workers: processes; without it, one for each core.
        misaligned: the thermal camera has its own lens, sits 12 cm beside and sees 40 ms later; the true
            flow from each RGB pixel to it is written to ``flow/``.
        baseline: the thermal camera has its own lens and sits so many meters to the right, and both see at
            the same moment, as on a rig; with 0, one transform explains them. With the true flow, likewise.
        eight_bit: also write ``tir8/``, the thermal image after automatic gain control.
        samples: rays per pixel, 1 or 4.
        layout: also export to ``out/LAYOUT``: ``mfnet``, ``pst900`` or ``coco``.
        engine: who renders: processes of this machine, or a cluster's workers, whatever ``workers`` says.

    Returns:
        The manifest that was written.

    Raises:
        CrossbandError: unknown preset, impossible number or size, a folder that cannot be written or that
            holds another simulation, or Embree is not installed.
    """
    if layout is not None:
        check_layout(layout)
    job = _checked(preset, frames, size, seed, samples, misaligned, eight_bit, baseline)
    folder, world = _prepared(Path(out), job)
    count = max(1, min(workers or os.cpu_count() or 1, -(-frames // 5)))
    try:
        city = build_city(seed)
        shots = plan(preset, city, frames, (job.height, job.width), seed)
        left = sum(not is_complete(folder, shot.frame) for shot in shots)
        mine = _WORLDS.get(preset, 1)
        if left and world != mine:
            raise CrossbandError(
                f"{folder} was begun by another version of crossband, whose cities look different; "
                "choose another folder or remove it",
                parameter="out",
            )
        if left:
            _render(job, folder, min(count, left), left, city, shots, engine)
        shutil.rmtree(folder / ".partial", ignore_errors=True)
        table = _collect(folder, [shot.frame for shot in shots])
        if preset in ("uav", "flight") and world == mine:
            write_map(city, folder)
            write_probes(table)
    except OSError as error:
        raise CrossbandError(
            f"cannot write {folder} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    table.write(folder / "frames.parquet")
    if layout is not None:
        export_layout(layout, table, folder / layout)
    return table


def _checked(
    preset: str,
    frames: int,
    size: tuple[int, int],
    seed: int,
    samples: int,
    misaligned: bool,
    eight_bit: bool,
    baseline: float | None,
) -> Job:
    PRESETS.get(preset)
    if frames < 1:
        raise CrossbandError(f"a simulation has 1 frame or more, not {frames}", parameter="frames")
    if len(size) != 2 or not all(_SMALLEST <= side <= _LARGEST for side in size):
        raise CrossbandError(
            f"a picture's sides are {_SMALLEST} to {_LARGEST} pixels, not {' and '.join(map(str, size))}",
            parameter="size",
        )
    if seed < 0:
        raise CrossbandError(f"a seed is 0 or more, not {seed}", parameter="seed")
    if samples not in (1, 4):
        raise CrossbandError(f"samples must be 1 or 4 rays per pixel, not {samples}")
    if baseline is not None and not -_WIDEST <= baseline <= _WIDEST:
        raise CrossbandError(
            f"a rig's cameras are at most {_WIDEST:g} meters apart, not {baseline:g}", parameter="baseline"
        )
    height, width = int(size[0]), int(size[1])
    return Job(preset, frames, height, width, seed, samples, misaligned, eight_bit, baseline)


def _prepared(out: Path, job: Job) -> tuple[Path, int]:
    """The folder with its settings, and the world it shows; another simulation's folder is refused."""
    settings, mine, world = out / _SETTINGS, json.loads(job.text()), _WORLDS.get(job.preset, 1)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if settings.is_file():
            there = json.loads(settings.read_text(encoding="utf-8"))
            world = there.pop("world", 1)
            if there != mine:
                raise ValueError
        else:
            write_file(settings, json.dumps({**mine, "world": world}) + "\n")
    except (ValueError, AttributeError, TypeError):
        raise CrossbandError(
            f"{out} holds another simulation; choose another folder or remove it", parameter="out"
        ) from None
    except OSError as error:
        raise CrossbandError(
            f"cannot write {out} ({error.strerror}); choose another folder", parameter="out"
        ) from None
    shutil.rmtree(out / ".partial", ignore_errors=True)
    return out, world


def _render(job: Job, out: Path, count: int, left: int, city: City, shots: list[Shot], engine: Engine) -> None:
    with Progress(left, f"simulating {job.preset}", "frames") as progress:
        if engine is not IN_PROCESS:
            for _ in engine.map(partial(Renderer, job, out), shots, block=RUN):
                progress.advance()
            return
        if count == 1:
            for _ in render_shots(job, out, city, shots):
                progress.advance()
            return
        _render_in_processes(job, out, count, progress)


def _render_in_processes(job: Job, out: Path, count: int, progress: Progress) -> None:
    """Separate interpreters, not forks: they work from any script and share no threads with it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = "1"
    command = [sys.executable, "-m", f"{__package__}.worker", job.text(), str(out)]
    processes = [
        subprocess.Popen(
            [*command, str(index), str(count)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for index in range(count)
    ]
    lines: queue.Queue[str | None] = queue.Queue()
    faults: list[str] = []

    def listen(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            lines.put(line)
        fault = process.stderr.read().strip()
        if process.wait() != 0:
            faults.append(fault.splitlines()[-1] if fault else f"exit status {process.returncode}")
        lines.put(None)

    threads = [threading.Thread(target=listen, args=(process,), daemon=True) for process in processes]
    try:
        for thread in threads:
            thread.start()
        running = count
        while running:
            if lines.get() is None:
                running -= 1
            else:
                progress.advance()
    finally:
        for process in processes:
            process.kill()
    if faults:
        raise CrossbandError(f"a simulation process stopped: {faults[0].split(': ', 1)[-1]}")


def _collect(out: Path, names: list[str]) -> Frames:
    """The manifest and the boxes of all finished frames."""
    settings = json.loads((out / _SETTINGS).read_text(encoding="utf-8"))
    size = {"width": settings["width"], "height": settings["height"]}
    rows: list[dict[str, object]] = []
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, name in enumerate(names, start=1):
        record = record_of(out, name)
        rows.append(record["row"])
        images.append({"id": number, "file_name": record["row"]["rgb"], **size})
        for box in record["boxes"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **box})
    coco = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": text} for number, text in CATEGORIES.values()],
    }
    write_file(out / "boxes.json", json.dumps(coco))
    return Frames.make(rows, out)
