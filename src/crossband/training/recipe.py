"""Recipes: everything a training run depends on, typed, in one YAML file.

A key nobody knows is an error that names the nearest. ``key=value`` pairs override what the file says, with
dots for what lies inside: ``optimizer.lr=1e-4``, ``data.query_bands=[tir]``. ``base: other.yaml`` starts from
a recipe in the same folder and says only what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import BaseModel, Field, field_validator, model_validator

from ..data.parts import MAX_SEED, Name, Strict
from ..errors import CrossbandError, nearest
from .safe_yaml import parse_yaml, read_yaml

__all__ = ["Optimizer", "Recipe", "TrainerSettings", "faulty_key", "read_recipe"]

_MOST_BASES = 4
_LONGEST_MESSAGE = 200  # characters of what a recipe says that stand in a sentence


Share = Annotated[float, Field(ge=0, lt=1)]
"""A share below one."""


class Optimizer(Strict):
    """How parameters move.

    Attributes:
        name: ``adamw``, ``adam`` or ``sgd``.
        lr: learning rate of the encoder.
        head_lr: of all else (aggregator, classes of the loss); ``lr`` where ``None``.
        weight_decay: of all parameters with two axes or more.
        momentum: of ``sgd``.
        betas: of ``adam`` and ``adamw``.
        schedule: ``constant``, ``cosine`` to 0 over the run, ``exponential`` by ``decay`` per epoch, or
            ``poly``: the share of the run that is left, to the power ``power``; or ``steps`` by ``decay`` after
            each of ``milestones``.
        decay: the factor of ``exponential`` and ``steps``.
        power: the exponent of ``poly``.
        milestones: epochs after which ``steps`` multiplies the rate.
        warmup: share of the run over which the rate rises.
        warmup_from: the share of the rate that it rises from.
        clip: the largest norm of a gradient, 0 for none.
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=1e-5, gt=0, le=1e3)
    head_lr: float | None = Field(default=None, gt=0, le=1e3)
    weight_decay: float = Field(default=0.0, ge=0, le=1e3)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    betas: tuple[Share, Share] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "exponential", "poly", "steps"] = "constant"
    decay: float = Field(default=0.9, gt=0, le=1)
    power: float = Field(default=0.9, gt=0, le=100)
    milestones: list[Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=list)
    warmup: float = Field(default=0.0, ge=0, lt=1)
    warmup_from: float = Field(default=0.0, ge=0, le=1)
    clip: float = Field(default=0.0, ge=0, le=1e9)


class TrainerSettings(Strict):
    """How a run runs.

    Attributes:
        epochs: at most.
        batch_size: samples of one step over all processes, before accumulation.
        accumulate: steps whose gradients are added up.
        precision: Lightning's name: ``32-true``, ``bf16-mixed`` or ``16-mixed``; or ``auto``: on a processor
            the faster of the first two and of both memory layouts, by a measurement at the start.
        device: ``cpu``, ``cuda`` or ``auto``.
        processes: how many; several on a CPU talk by gloo, on GPUs by NCCL. ``auto``: on a processor two where
            a measurement at the start says that they are quicker than one with all threads, but for losses that
            compare the samples of a batch. Each keeps ``data.cache_mb`` of its own.
        workers: processes that read, for each process that trains; 0 reads in the process itself.
        patience: measured epochs without a better score on val before the run stops; 0 never stops.
        validate_every: epochs from one measurement on val to the next; the last is always measured, so the
            number of epochs keeps the last network, whatever val says.
        select_on: the split that chooses the checkpoint; only ``val`` is allowed.
        save_seconds: how long a killed run may have to repeat.
        average: the network that is measured and kept is the exponential average over the steps with this decay
            (at first less, so that it follows), as 0.999; 0 keeps the last.
    """

    epochs: int = Field(default=30, ge=1, le=1_000_000)
    batch_size: int = Field(default=4, ge=1, le=65_536)
    accumulate: int = Field(default=1, ge=1, le=65_536)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = 1
    workers: int = Field(default=0, ge=0, le=256)
    patience: int = Field(default=0, ge=0, le=1_000_000)
    validate_every: int = Field(default=1, ge=1, le=1_000_000)
    select_on: str = "val"
    save_seconds: float = Field(default=60.0, ge=0, le=1e9)
    average: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("processes", mode="before")
    @classmethod
    def _counted(cls, processes: Any) -> Any:
        if processes == "auto" or (isinstance(processes, int) and 1 <= processes <= 256):
            return processes
        raise CrossbandError(f"trainer.processes is a number from 1 to 256, or auto; not {processes!r}")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.select_on != "val":
            raise CrossbandError(f"a checkpoint is selected on val, never on {self.select_on}")
        if self.processes != "auto" and self.batch_size % self.processes:
            raise CrossbandError(
                f"trainer.batch_size {self.batch_size} must be divisible by trainer.processes {self.processes}"
            )
        return self


class Recipe(Strict):
    """What every task's recipe has; a task adds its own parts.

    Attributes:
        task: the registered task.
        title: one line for tables.
        paper: the paper whose row this is, and ``row`` which of its rows.
        chosen: settings that the paper does not give and we chose, each with a reason.
        seed: of everything random.
        start: a checkpoint, or the name of a packaged network as ``crossband models`` lists them, whose weights
            the run begins with where names and shapes agree.
        data: which frames, of the task's own type.
        optimizer: how parameters move.
        trainer: how the run runs.
    """

    task: Name
    title: str = ""
    paper: Name | None = None
    row: Name | None = None
    chosen: dict[str, str] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    start: Name | None = None
    data: Strict
    optimizer: Optimizer = Optimizer()
    trainer: TrainerSettings = TrainerSettings()


def read_recipe(source: str | Path | Mapping[str, Any] | Recipe, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe from a YAML file or a mapping, typed by its task.

    Args:
        source: a file, or what one would hold.
        overrides: ``key=value``, the value as YAML.

    Raises:
        CrossbandError: no such file, no YAML, an unknown task or key (the nearest is named), or a value that is
            not allowed.
    """
    from .task import find_task

    if isinstance(source, Recipe):
        if not (overrides := list(overrides)):
            return source
        content: Any = source.model_dump(mode="json")
    else:
        content = dict(source) if isinstance(source, Mapping) else _read_yaml(Path(source))
    where = source if isinstance(source, str | Path) else "the recipe"
    for override in overrides:
        _override(content, override)
    if not isinstance(content.get("task"), str) or len(content["task"]) > _LONGEST_MESSAGE:
        raise CrossbandError(f"{where} has no task; add one, as in task: places")
    kind = find_task(content["task"]).recipe
    try:
        return kind.model_validate(content)
    except pydantic.ValidationError as error:
        raise CrossbandError(f"{where}: {faulty_key(error, kind)}") from None


def _read_yaml(path: Path, depth: int = 0) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise CrossbandError(f"{path} is not a recipe: a mapping of keys to values is expected")
    if "base" not in content:
        return content
    base = content.pop("base")
    named = isinstance(base, str) and base and "\0" not in base and Path(base).name == base
    if depth >= _MOST_BASES or not named:
        raise CrossbandError(
            f"{path} has the base {str(base)[:80]!r}; name a recipe in the same folder, not one of its own"
        )
    return _merged(_read_yaml(path.with_name(base), depth + 1), content)


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with changes; mappings are merged key by key, ``null`` takes a key away."""
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        if value is None:
            merged.pop(key, None)
        else:
            both = isinstance(inner, dict) and isinstance(value, dict)
            merged[key] = _merged(dict(inner or {}), value) if both else value
    return merged


def _override(content: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CrossbandError(f"an override is KEY=VALUE, as in optimizer.lr=1e-4, not {text!r}")
    parsed = parse_yaml(value, f"the value of {text[:80]!r}")
    *parents, last = key.split(".")
    for parent in parents:
        inner = content.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise CrossbandError(f"{parent!r} in {text!r} is a value, not a section")
        content[parent] = inner = dict(inner)  # the caller's own mapping stays as it was
        content = inner
    content[last] = _number(parsed)


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as text; a recipe means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def faulty_key(error: pydantic.ValidationError, kind: type[BaseModel]) -> str:
    """Say in a few words which key of a ``kind`` is at fault and how: the first, where there are several."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")[:_LONGEST_MESSAGE]
    if first["type"] == "extra_forbidden":
        known = _keys_at(kind, first["loc"][:-1])
        close = nearest(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
        return f"unknown key {where!r}; {hint}"
    if first["type"] == "missing":
        return f"the key {where!r} is missing"
    message = first["msg"][:_LONGEST_MESSAGE]
    return f"{where}: {message[:1].lower()}{message[1:]}"


def _keys_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the model at a place inside a recipe."""
    for part in location:
        field = kind.model_fields.get(str(part))
        found = _models_in(field.annotation) if field is not None else [kind]  # the name of a test set, say
        kind = found[0] if found else kind
    return list(kind.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
