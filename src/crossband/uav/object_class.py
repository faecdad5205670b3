"""Which class the object of a photograph is of, told from its vector.

A logistic regression over the vectors of :mod:`.object_descriptor`, one for each view, that learned from color
frames of simulated cities; see ``python -m benchmarks.object_classes``. It belongs to one descriptor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.special import softmax

from .object_descriptor import View

__all__ = ["ObjectClasses", "read_object_classes"]

FILE = Path(__file__).parent / "object_classes.safetensors"
_TAKEN_FOR = {"othervehicle": "car"}
"""What a photograph's classes do not have, and which of them it is most like."""


@dataclass(frozen=True)
class ObjectClasses:
    """What tells the class of a vector.

    Attributes:
        names: of the classes, in lower case.
        weights: of each view, float32 ``(k, d + 1)``: the last is the constant.
        made_by: digest of the descriptor.
    """

    names: tuple[str, ...]
    weights: Mapping[View, np.ndarray]
    made_by: str

    def told(self, view: View, vectors: np.ndarray) -> np.ndarray:
        """Return the probability of each class, were all as frequent: float64 ``(k,)``.

        Args:
            view: of the vectors.
            vectors: ``(turns, d)`` of one object, turned.
        """
        weights = self.weights[view].astype(float)
        return softmax(vectors.astype(float) @ weights[:, :-1].T + weights[:, -1], 1).mean(0)

    def likely(self, asked: Mapping[View, np.ndarray], classes: Sequence[str]) -> np.ndarray:
        """Return how likely the photograph shows each of a detector's classes, float64 ``(n,)``; 1 if unknown.

        Args:
            asked: of :func:`.pipeline.photograph_views`.
            classes: of the detector.
        """
        view = View.BARE if View.BARE in asked else View.AROUND
        known = dict(zip(self.names, self.told(view, asked[view]).tolist(), strict=True))
        lower = [name.casefold() for name in classes]
        return np.array([known.get(_TAKEN_FOR.get(name, name), 1.0) for name in lower])

    def write(self, path: Path = FILE) -> None:
        """Write them, in float16."""
        kept = {str(view): values.astype(np.float16) for view, values in self.weights.items()}
        save_file(kept, path, metadata={"names": json.dumps(self.names), "made_by": self.made_by})


@cache
def read_object_classes(path: Path = FILE) -> ObjectClasses:
    """Read those that ship."""
    with safe_open(path, "np") as file:
        said = file.metadata()
        weights = {View(name): file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    return ObjectClasses(tuple(json.loads(said["names"])), weights, said["made_by"])
