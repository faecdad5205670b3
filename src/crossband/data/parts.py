"""What a recipe says of frames: which, where from, which bands, how they become pixels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from ..bands import parse_band
from ..errors import CrossbandError, unknown_name
from ..frames import leaves_folder

__all__ = [
    "MAX_SEED",
    "MOST_MB",
    "Data",
    "Factor",
    "Label",
    "Name",
    "Part",
    "Side",
    "Simulated",
    "SplitPair",
    "Splits",
    "Strict",
    "known",
    "queries_of",
]

_LONGEST_TEXT = 4000
_MOST_VALUES = 20_000
_DEEPEST = 24
_LARGEST = 1e12  # of a number that nothing else bounds
MAX_SEED = (1 << 64) - 1
MOST_MB = 1 << 22
"""Megabytes of a cache of images, at most."""

Side = Annotated[int, Field(ge=1, le=8192)]
"""A side of an image, pixels."""

Factor = Annotated[float, Field(gt=0, le=100)]
"""How much larger or smaller something becomes."""

Label = Annotated[int, Field(ge=0, le=65_535)]
"""The number of a class in a label map."""


def _stays(name: str) -> str:
    """A name that cannot be read as the path of something outside."""
    if not name.strip() or leaves_folder(name):
        raise CrossbandError(f"{name[:100]!r} is no name of anything")
    return name


Name = Annotated[str, Field(max_length=200), AfterValidator(_stays)]
"""What is looked up: a network, a dataset, a class, a normalization."""


class Strict(BaseModel):
    """A part of a recipe: every key is known, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """Refuse true and false where a number stands, and what no recipe needs: see :func:`_check_plain`."""
        if isinstance(given, dict):
            for name, value in given.items():
                field = cls.model_fields.get(str(name))
                if field is not None:
                    _check_plain(str(name), value, _takes_truth(field.annotation))
        return given


def known(what: str, names: Collection[str]) -> AfterValidator:
    """Return what makes pydantic refuse a text that is none of ``names``, with the nearest of them."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(str(unknown_name(what, name, names)))  # pydantic adds where it stands
        return name

    return AfterValidator(check)


def _takes_truth(annotation: Any) -> bool:
    """Whether true and false may stand at a place of this type, or inside it."""
    if annotation in (bool, Any) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return True
    return any(_takes_truth(part) for part in get_args(annotation))


def _check_plain(name: str, value: Any, truth: bool, depth: int = 0) -> None:
    """Refuse, wherever in a value it stands, what no recipe needs: numbers that are not finite or beyond all
    measure, zero bytes, pages of text, lists without end, and true where a number stands."""
    if isinstance(value, bool):
        if not truth:
            raise ValueError(f"{name} is a number, not {str(value).lower()}")
    elif isinstance(value, int | float):
        seed = name == "seed" and isinstance(value, int)  # a range of its own
        if not (seed or -_LARGEST <= value <= _LARGEST):  # of integers too, and never true of NaN
            raise ValueError(f"{name} is a finite number, at most {_LARGEST:g}")
    elif isinstance(value, str):
        if "\0" in value or len(value) > _LONGEST_TEXT:
            raise ValueError(f"{name} holds a zero byte, or more than {_LONGEST_TEXT} characters")
    elif isinstance(value, dict | list | tuple):
        if len(value) > _MOST_VALUES or depth > _DEEPEST:
            raise ValueError(
                f"{name} holds more than {_MOST_VALUES} values, or is nested deeper than {_DEEPEST}"
            )
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_plain(name, inner, truth, depth + 1)


class Simulated(Strict):
    """Frames that the multispectral city makes; see :func:`crossband.simulate`.

    Attributes:
        preset: what is photographed.
        frames: how many.
        size: (height, width) in pixels.
        seed: of the city.
    """

    preset: Name = "places"
    frames: int = Field(default=400, ge=1, le=1_000_000)
    size: tuple[Side, Side] = (128, 160)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)


class Part(Strict):
    """Some frames.

    Attributes:
        frames: a manifest or a folder, relative to the data's root.
        kind: the dataset's name, where the folder is not recognized.
        where: column -> the values that are kept.
        leave_out: column -> the values that are not.
        every: keep each n-th frame of a sequence.
        simulate: make the frames there first.
        also: further frames that belong to it, from other folders; each has conditions of its own.
        rig: a ``rig.json``, relative to the data's root: one band as the other's camera would have seen it.
    """

    frames: str
    rig: Name | None = None
    kind: Name | None = None
    where: dict[str, list[str]] = Field(default_factory=dict)
    leave_out: dict[str, list[str]] = Field(default_factory=dict)
    every: int = Field(default=1, ge=1, le=1_000_000_000)
    simulate: Simulated | None = None
    also: list[Part] = Field(default_factory=list)

    @field_validator("rig")
    @classmethod
    def _rig_inside(cls, rig: str | None) -> str | None:
        if rig is not None and leaves_folder(rig):
            raise CrossbandError(f"a rig lies in the data's root; {rig[:100]!r} does not")
        return rig

    @field_validator("frames")
    @classmethod
    def _inside(cls, frames: str) -> str:
        if not frames.strip() or leaves_folder(frames):
            raise CrossbandError(f"frames lie in the data's root; {frames[:100]!r} does not")
        return frames


class SplitPair(Strict):
    """What is searched for, and what is searched.

    Attributes:
        queries: the query frames.
        gallery: the gallery, or reference, frames.
    """

    queries: Part
    gallery: Part


P = TypeVar("P", Part, SplitPair)


class Splits(Strict, Generic[P]):
    """Frames to learn from, to choose a checkpoint by, and to measure, which never choose one.

    Attributes:
        train: frames to learn from.
        val: what chooses the checkpoint.
        test: named parts that are only ever measured.
    """

    train: Part
    val: P
    test: dict[Name, P] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _val_is_not_test(self) -> Self:
        parts = [self.val] if isinstance(self.val, Part) else [self.val.queries, self.val.gallery]
        if any("test" in part.where.get("split", []) for part in parts):
            raise CrossbandError("a checkpoint is selected on val, never on test; data.val names split test")
        if queries_of(self.val) in [queries_of(test) for test in self.test.values()]:
            raise CrossbandError("a checkpoint is selected on val, never on test; data.val is a test set")
        return self


def queries_of(part: Part | SplitPair) -> Part:
    """Return the frames that a part asks about: its queries where it has them."""
    return part if isinstance(part, Part) else part.queries


class Data(Splits[SplitPair]):
    """Which frames, bands and pixels.

    Attributes:
        train: frames to learn from.
        val: frames that choose the checkpoint.
        test: named pairs that are only ever measured.
        query_bands: the bands per query may be of; a mixture where there are several.
        gallery_bands: likewise of the gallery.
        size: (height, width) in pixels.
        normalization: a normalization's name, a band.
        statistics: what pixels are standardized by: what the ``encoder`` expects, or ``measured`` on train.
        cache_mb: memory for decoded images, 0 for none.
        photometry: strength of the photometric augmentation, 0 to 1.
        view_shift: strength of random crops, 0 to 0.9.
        invert_tir: share of thermal images that are inverted while training.
    """

    query_bands: list[str] = Field(default_factory=lambda: ["rgb"])
    gallery_bands: list[str] = Field(default_factory=lambda: ["rgb"])
    size: tuple[Side, Side] = (224, 224)
    normalization: dict[Name, Name] = Field(default_factory=dict)
    statistics: Literal["encoder", "measured"] = "encoder"
    cache_mb: int = Field(default=0, ge=0, le=MOST_MB)
    photometry: float = Field(default=0.0, ge=0, le=1)
    view_shift: float = Field(default=0.0, ge=0, le=0.9)
    invert_tir: float = Field(default=0.0, ge=0, le=1)

    @field_validator("query_bands", "gallery_bands")
    @classmethod
    def _known(cls, bands: list[str]) -> list[str]:
        if not bands:
            raise CrossbandError("a recipe needs at least one query band and one gallery band")
        return [parse_band(band).value for band in bands]
