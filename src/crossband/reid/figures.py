"""Pictures of a re-identification: its CMC, and how often each challenge occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from ..files import make_folder, write_file
from ..frames import Frames
from ..reports.plots import plot_cmc, plot_counts
from .evaluation import ReidEvaluation, tags_of

__all__ = ["CHALLENGES", "count_challenges", "draw_evaluation", "plot_challenges"]

CHALLENGES = {
    "VC": "view change",
    "OC": "occlusion",
    "AL": "abnormal light",
    "SH": "shadow",
    "GL": "glare",
    "LI": "low light",
    "BN": "black night",
}
"""Tags of RGBN300 and RGBNT100 (Li et al., AAAI 2020, figure 3 (c)), and of the simulated city."""

_MOST_RANKS = 20


def count_challenges(*parts: Frames) -> dict[str, int]:
    """Count the frames with each challenge of the column ``tags``, the most frequent first, and with none.

    A frame that is in several parts, as queries picked from a gallery are, counts once.

    Example:
        >>> tagged = enumerate(["BN SH", "SH", ""])
        >>> rows = [{"frame": str(i), "rgb": "a.png", "tags": tags} for i, tags in tagged]
        >>> count_challenges(Frames.make(rows, "."))
        {'shadow': 2, 'black night': 1, 'none': 1}
    """
    tags = {name: found for part in parts for name, found in zip(part.names, tags_of(part), strict=True)}
    counts = Counter(CHALLENGES.get(tag, tag) for found in tags.values() for tag in sorted(found))
    return {**dict(counts.most_common()), "none": sum(not found for found in tags.values())}


def plot_challenges(*parts: Frames) -> Figure:
    """Draw how often each challenge occurs; see :func:`count_challenges`."""
    return plot_counts(count_challenges(*parts), len({name for part in parts for name in part.names}), "frames")


def draw_evaluation(found: ReidEvaluation, parts: Iterable[Frames], name: str, out: Path) -> list[Path]:
    """Write ``cmc_NAME.png``, and ``challenges_NAME.png`` where frames are tagged; return the files.

    The CMC is that of the headline pair and of every single band against itself.

    Args:
        found: the evaluation.
        parts: all frames whose challenges are counted.
        name: of the test.
        out: the folder.
    """
    plain, figures = re.sub(r"[^\w.-]+", "_", name), {}
    if found.scores.n_queries:
        headline = found.pairs[found.headline]
        shown = {
            pair.query if pair.query == pair.gallery else f"{pair.query} to {pair.gallery}": pair.scores
            for place, pair in enumerate(found.pairs)
            if pair.descriptor == headline.descriptor
            and pair.scores.n_queries
            and (place == found.headline or (pair.query == pair.gallery and pair.query in found.bands))
        }
        curves = {key: dict(enumerate(scores.cmc()[:_MOST_RANKS].tolist(), 1)) for key, scores in shown.items()}
        figures["cmc"] = plot_cmc(curves)
    parts = list(parts)
    if any(part.has("tags") for part in parts):
        figures["challenges"] = plot_challenges(*parts)
    folder = make_folder(out)
    return [
        write_file(folder / f"{kind}_{plain}.png", partial(figure.savefig, format="png"))
        for kind, figure in figures.items()
    ]
