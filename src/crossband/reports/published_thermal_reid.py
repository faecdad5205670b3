"""Figures of "Object Re-identification Using Multimodal Aerial Imagery and Conditional Adversarial Networks"
(ISPRS Archives XLIV-2/W1-2021), to stand next to ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PUBLISHED_CMC", "PublishedCmc"]


@dataclass(frozen=True)
class PublishedCmc:
    """One row of table 2, on LAERT.

    Attributes:
        method: as the paper calls it.
        cmc: percent, by rank.
        nauc: percent.
    """

    method: str
    cmc: Mapping[int, float]
    nauc: float

    @property
    def figures(self) -> dict[str, float]:
        """All of them, by the name of their column."""
        return {**{f"r = {rank}": value for rank, value in self.cmc.items()}, "nAUC": self.nauc}


_RANKS = (1, 5, 10, 15, 20)

PUBLISHED_CMC = {
    method: PublishedCmc(method, dict(zip(_RANKS, row[:5], strict=True)), row[5])
    for method, row in {
        "VRAI": (12.11, 22.71, 32.66, 39.86, 41.53, 33.23),
        "BoT-BS": (14.12, 21.21, 29.12, 34.55, 38.98, 31.17),
        "ThermalReID": (18.21, 32.43, 41.56, 44.31, 46.34, 39.11),
    }.items()
}
"""Table 2, by method."""
