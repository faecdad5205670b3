"""What requests and answers of the API hold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ..bands import Band

Status = Literal["queued", "running", "done", "failed", "canceled"]
Scalar = str | float


class Fault(BaseModel):
    """Why a request was refused."""

    detail: str
    parameter: str = ""


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok"] = "ok"
    ready: bool
    version: str
    writable: bool
    token: bool
    galleries: int


class GalleryInfo(BaseModel):
    """What a gallery holds and what made it."""

    name: str
    items: int
    bands: dict[str, int]
    model: str
    encoder: str
    layer: str
    pooling: str
    center: bool
    dtype: str
    crossband: str
    reranks: bool


class Value(BaseModel):
    """A value of a column and how many items have it."""

    value: str
    items: int


class Facet(BaseModel):
    """What a column holds."""

    column: str
    kind: Literal["text", "number"]
    items: int
    distinct: int
    low: Scalar
    high: Scalar
    values: list[Value]


class Item(BaseModel):
    """An image of a gallery; ``bands`` are the items of the same frame."""

    id: str
    frame: str
    band: Band
    metadata: dict[str, Scalar]
    bands: dict[str, str]


class Items(BaseModel):
    """Some items."""

    total: int
    items: list[Item]


class Place(BaseModel):
    """Where a frame was taken."""

    id: str
    frame: str
    place: str | None = None
    sequence: str | None = None
    x: float | None = None
    y: float | None = None
    lat: float | None = None
    lon: float | None = None
    time: str | None = None
    condition: str | None = None


class Found(BaseModel):
    """A match, as the library gives it, with names in place of paths."""

    id: str | None
    rank: int
    frame: str
    band: Band
    distance: float
    inliers: int | None = None
    same_place: float | None = None
    metadata: dict[str, Scalar]
    bands: dict[str, str]


class Query(BaseModel):
    """What was searched for, as it was read."""

    band: Band
    height: int
    width: int
    units: str
    item: str | None = None
    upload: str | None = None


class SearchAnswer(BaseModel):
    """Matches, best first."""

    gallery: str
    query: Query
    matches: list[Found]
    hidden: int = Field(description="matches below the least probability, which are not listed")
    seconds: float


class SurveyRow(BaseModel):
    """A query of a survey whose own frame is not first."""

    rank: int
    query: Item
    right: Item
    first: Item
    distance: float


class Survey(BaseModel):
    """How well a gallery finds its own frames across two bands, by the vectors it holds."""

    queries: int
    gallery: int
    deep: int
    recall: dict[str, float]
    worst: list[SurveyRow]


class BenchmarkRow(BaseModel):
    """A query of a benchmark that was not found first; items where this gallery holds the frame."""

    frame: str
    rank: int
    query: Item | None
    right: Item | None


class BenchmarkRun(BaseModel):
    """What ``crossband benchmark`` measured of one model across two bands."""

    model: str
    query_band: Band
    gallery_band: Band
    queries: int
    recall: dict[str, float]
    worst: list[BenchmarkRow]


class LastBenchmark(BaseModel):
    """The newest benchmark below the server's folders of reports; without one no time and no runs."""

    time: float | None
    runs: list[BenchmarkRun]


class Duplicate(BaseModel):
    """Two items that lie near each other."""

    distance: float
    first: Item
    second: Item


class Temperature(BaseModel):
    """What one pixel holds; ``celsius`` where it is a temperature."""

    x: int
    y: int
    value: float | list[float]
    celsius: float | None


class UploadAnswer(BaseModel):
    """A picture that was sent, under a name, and what it seems to be."""

    id: str
    band: Band
    why: str
    sure: bool
    height: int
    width: int
    dtype: str
    units: str
    likely_units: str
    video: bool
    remarks: list[str]


class Registration(BaseModel):
    """What takes pixels (column, row) of the first image to pixels of the second."""

    matrix: list[list[float]]
    model: str
    inliers: int
    same_place: float
    error_px: float
    refined: bool
    matches: list[list[float]]
    first_size: tuple[int, int] = Field(description="height, width")
    second_size: tuple[int, int]
    warped_png: str | None = Field(None, description="the second image laid onto the first, base64")


class SegmentClass(BaseModel):
    """A class, its color, and its share of the image in percent."""

    name: str
    color: str
    share: float


class Segments(BaseModel):
    """A label map."""

    height: int
    width: int
    bands: list[Band]
    classes: list[SegmentClass]
    labels_png: str = Field(description="class numbers with a palette, base64")


class Box(BaseModel):
    """An object; corners in pixels."""

    kind: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


class Boxes(BaseModel):
    """Objects of an image, best first."""

    height: int
    width: int
    boxes: list[Box]


class Added(BaseModel):
    """What an addition did, as :class:`crossband.retrieval.Added` counts it."""

    added: int
    replaced: int
    updated: int
    unchanged: int
    left_out: list[str]


class Deleted(BaseModel):
    """How many items were deleted."""

    deleted: int


class DeleteWhere(BaseModel):
    """Which items to delete."""

    where: str = Field(min_length=1, max_length=10_000)


class Mark(BaseModel):
    """A judgment of a person: whether two items show one place."""

    query: str = Field(max_length=64)
    item: str = Field(max_length=64)
    right: bool


class Marks(BaseModel):
    """Judgments to be written as a manifest."""

    marks: list[Mark] = Field(min_length=1, max_length=100_000)


class JobRequest(BaseModel):
    """Long work to start."""

    kind: Literal["index", "flight"]
    folder: str | None = Field(None, max_length=200, description="index: of those the server was given")
    gallery: str | None = Field(None, max_length=200, description="index: of those that are served")
    bands: list[Band] | None = None
    local: bool = Field(True, description="index: keep local features too")
    flight: str | None = Field(None, max_length=200, description="flight: of those the server was given")
    upload: str | None = Field(None, max_length=64, description="flight: the photograph of the object")
    k: int = Field(20, ge=1, le=500)


class Stage(BaseModel):
    """A part of a job, and how much of it is done."""

    name: str
    done: int
    total: int


class Job(BaseModel):
    """How far a piece of long work is."""

    id: str
    kind: str
    what: str
    status: Status
    created: float
    seconds: float
    stages: list[Stage] = Field(description="in the order in which they began; the last is at work")
    notes: list[str]
    error: str | None
    result: dict[str, object] | None


class FlightInfo(BaseModel):
    """A flight, and whether there is a result."""

    name: str
    result: bool
    source: bool
    objects: int = 0
    exports: list[Literal["geojson", "kml"]] = []


class FlightObject(BaseModel):
    """An object of a flight, ranked."""

    rank: int
    frame: str
    box: list[float]
    kind: str
    score: float
    distance: float
    lat: float | None
    lon: float | None
    x: float | None
    y: float | None
    confidence: float


class FlightPosition(BaseModel):
    """Where a frame of a flight was taken."""

    frame: str
    lat: float
    lon: float
    x: float | None = None
    y: float | None = None
    confidence: float | None = None


class FlightAnswer(BaseModel):
    """What the chain found."""

    there: bool
    threshold: float
    n_objects: int
    n_frames: int
    matches: list[FlightObject]
    positions: list[FlightPosition]


class MapInfo(BaseModel):
    """The map below positions."""

    kind: Literal["semantic", "picture", "none"]
    south: float | None = None
    west: float | None = None
    north: float | None = None
    east: float | None = None
    width: float = 0
    height: float = 0
    legend: dict[str, str] = {}
    tiles: str | None = None
    attribution: str | None = None


class Report(BaseModel):
    """A file that a verb has written."""

    id: str
    folder: str
    file: str
    kind: str
    bytes: int
    time: float


class Session(BaseModel):
    """The token, to be kept by the browser as a cookie."""

    token: str = Field(max_length=500)
