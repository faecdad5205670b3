"""Long work: start, follow, cancel."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

import PIL.Image
from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import StreamingResponse

from ...bands import Band
from ...errors import CrossbandError
from ...files import make_folder, write_file
from .. import schemas
from ..pictures import eight_bits
from ..service import Service
from .common import REFUSALS, ServiceOf, Writable, sent_source

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=REFUSALS)

JobName = Annotated[str, Path(max_length=64, pattern="^[0-9a-f]+$")]
_EVERY = 0.4
_ENDED = ("done", "failed", "canceled")


@router.get("", summary="All jobs")
def list_jobs(service: ServiceOf) -> list[schemas.Job]:
    """List all jobs, the newest first."""
    return [schemas.Job(**one) for one in service.jobs.list()]


@router.get("/choices", summary="What jobs can be about")
def choices(service: ServiceOf) -> dict[str, list[str]]:
    """List the names of folders that may be indexed, and of flights that may be run."""
    flights = [name for name, path in service.settings.flights.items() if not (path / "matches.json").is_file()]
    able = service.settings.map is not None and service.settings.models is not None
    return {"folders": list(service.settings.folders), "flights": flights if able else []}


@router.post("", summary="Start a job", status_code=201, dependencies=[Writable])
def start(service: ServiceOf, asked: schemas.JobRequest) -> schemas.Job:
    """Index a folder, or run the chain over a flight; it is queued on the disk when this is answered."""
    arguments = _index(service, asked) if asked.kind == "index" else _flight(service, asked)
    return schemas.Job(**service.jobs.told(service.jobs.start(asked.kind, arguments)))


@router.get("/{job}", summary="How far a job is")
def job(service: ServiceOf, job: JobName) -> schemas.Job:
    """Tell its stage, and how much of it is done."""
    try:
        return schemas.Job(**service.jobs.told(job))
    except KeyError:
        raise HTTPException(404, "no such job") from None


@router.post("/{job}/cancel", summary="Cancel a job", dependencies=[Writable])
def cancel(service: ServiceOf, job: JobName) -> schemas.Job:
    """Stop it; what it has written so far stays, and is taken up by the next of its kind."""
    try:
        service.jobs.cancel(job)
        return schemas.Job(**service.jobs.told(job))
    except KeyError:
        raise HTTPException(404, "no such job") from None


@router.get("/{job}/events", summary="Follow a job", response_class=StreamingResponse)
async def events(service: ServiceOf, job: JobName) -> StreamingResponse:
    """Send an event whenever something changed, until the job has ended or the server is stopped."""
    try:
        service.jobs.told(job)
    except KeyError:
        raise HTTPException(404, "no such job") from None
    return StreamingResponse(_events(service, job), media_type="text/event-stream")


async def _events(service: Service, name: str) -> AsyncIterator[str]:
    last = ""
    waited = 0.0
    while not service.ending.is_set():
        told = await asyncio.to_thread(service.jobs.told, name)
        text = json.dumps({key: value for key, value in told.items() if key != "seconds"})
        if text != last:
            yield f"data: {json.dumps(told)}\n\n"
            last, waited = text, 0.0
        elif waited > 15:
            yield ": still here\n\n"
            waited = 0.0
        if told["status"] in _ENDED:
            return
        await asyncio.sleep(_EVERY)
        waited += _EVERY


def _index(service: Service, asked: schemas.JobRequest) -> dict[str, Any]:
    settings = service.settings
    if asked.folder not in settings.folders:
        there = ", ".join(settings.folders) or "none; start the server with --folder"
        raise CrossbandError(f"no such folder to index; there is {there}", parameter="folder")
    if asked.gallery not in settings.galleries:
        raise CrossbandError(f"no such gallery; there is {', '.join(settings.galleries)}", parameter="gallery")
    return {
        "folder": str(settings.folders[asked.folder]),
        "gallery": str(settings.galleries[asked.gallery]),
        "bands": None if asked.bands is None else [band.value for band in asked.bands],
        "local": asked.local,
        "shown": f"{asked.folder} into {asked.gallery}",
    }


def _flight(service: Service, asked: schemas.JobRequest) -> dict[str, Any]:
    settings = service.settings
    if asked.flight not in settings.flights or settings.map is None or settings.models is None:
        raise CrossbandError(
            "a flight is run by its name, with a server that has --flight, --map and --models",
            parameter="flight",
        )
    source = sent_source(service, None, asked.upload or "")
    image = service.decoders.pixels(source, Band.RGB)
    name = f"{asked.flight}-{uuid.uuid4().hex[:6]}"
    photo = make_folder(service.state / "photographs") / f"{name}.png"
    shown = PIL.Image.fromarray(eight_bits(image.pixels)).convert("RGB")
    write_file(photo, lambda partial: shown.save(partial))
    return {
        "photo": str(photo),
        "flight": str(settings.flights[asked.flight]),
        "map": str(settings.map),
        "models": str(settings.models),
        "out": str(service.state / "flights" / name),
        "k": asked.k,
        "shown": f"flight {asked.flight}",
    }
