"""Flights, the map, and reports."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Path, Response
from fastapi.responses import FileResponse

from .. import schemas
from ..flights import flight_result, read_ground
from ..reporting import find_report, list_reports
from ..service import Service
from .common import REFUSALS, ServiceOf

router = APIRouter(tags=["results"], responses=REFUSALS)

FlightName = Annotated[str, Path(max_length=200)]
_EXPORTS: tuple[Literal["geojson", "kml"], ...] = ("geojson", "kml")
_SANDBOX = {
    "content-security-policy": (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
}
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".csv": "text/csv; charset=utf-8"}
_TYPES |= {".jpg": "image/jpeg", ".png": "image/png"}


@router.get("/flights", summary="All flights")
def list_flights(service: ServiceOf) -> list[schemas.FlightInfo]:
    """List those the server was given, and those that jobs made."""
    found = []
    for name, folder in _folders(service).items():
        there = (folder / "matches.json").is_file()
        objects = len(flight_result(folder)["matches"]) if there else 0
        source = name in service.settings.flights and not there
        exports = [kind for kind in _EXPORTS if (folder / f"matches.{kind}").is_file()]
        found.append(
            schemas.FlightInfo(name=name, result=there, source=source, objects=objects, exports=exports)
        )
    return found


@router.get("/flights/{flight}", summary="What the chain found")
def flight(service: ServiceOf, flight: FlightName) -> schemas.FlightAnswer:
    """Return ranked objects, and the positions of the frames."""
    return schemas.FlightAnswer(**flight_result(_folder(service, flight)))


@router.get("/flights/{flight}/geojson", summary="Objects as GeoJSON", response_class=FileResponse)
def flight_geojson(service: ServiceOf, flight: FlightName) -> FileResponse:
    """Send the file that the chain wrote."""
    return _file(_folder(service, flight) / "matches.geojson", "application/geo+json", "matches.geojson")


@router.get("/flights/{flight}/kml", summary="Objects as KML", response_class=FileResponse)
def flight_kml(service: ServiceOf, flight: FlightName) -> FileResponse:
    """Send the file that the chain wrote."""
    return _file(
        _folder(service, flight) / "matches.kml", "application/vnd.google-earth.kml+xml", "matches.kml"
    )


@router.get("/flights/{flight}/picture", summary="Objects as a picture", response_class=FileResponse)
def flight_picture(service: ServiceOf, flight: FlightName) -> FileResponse:
    """Send the picture that the chain wrote."""
    return _file(_folder(service, flight) / "matches.jpg", "image/jpeg")


@router.get("/map", summary="The map below positions")
def map_info(service: ServiceOf) -> schemas.MapInfo:
    """Tell where its edges are, and which tiles lie below it."""
    settings = service.settings
    told = {"kind": "none"} if settings.map is None else read_ground(settings.map).told()
    if settings.tiles is not None:
        attribution = settings.attribution or urlsplit(settings.tiles).netloc
        told |= {"tiles": settings.tiles, "attribution": attribution}
    return schemas.MapInfo(**told)


@router.get("/map/picture", summary="The map's picture", response_class=Response)
def map_picture(service: ServiceOf) -> Response:
    """Draw it as PNG, north up."""
    if service.settings.map is None:
        raise HTTPException(404, "this server has no map; start it with --map")
    return Response(read_ground(service.settings.map).png, media_type="image/png")


@router.get("/reports", summary="Reports that were written")
def reports(service: ServiceOf) -> list[schemas.Report]:
    """List pages first, then the newest."""
    return [schemas.Report(**one) for one in list_reports(service.settings.reports)]


@router.get("/reports/{report}", summary="One of them", response_class=FileResponse)
def report(service: ServiceOf, report: Annotated[str, Path(max_length=64)]) -> FileResponse:
    """Send the file, without any right to run a script."""
    path = find_report(service.settings.reports, report)
    if path is None:
        raise HTTPException(404, "no such report")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_SANDBOX)


def _folders(service: Service) -> dict[str, FilePath]:
    made = service.state / "flights"
    own = {path.name: path for path in sorted(made.iterdir()) if path.is_dir()} if made.is_dir() else {}
    return {**own, **service.settings.flights}


def _folder(service: Service, name: str) -> FilePath:
    found = _folders(service).get(name)
    if found is None or not (found / "matches.json").is_file():
        raise HTTPException(404, "no result of a flight of that name")
    return found


def _file(path: FilePath, kind: str, name: str | None = None) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "the chain has not written that file")
    return FileResponse(path, media_type=kind, filename=name)
