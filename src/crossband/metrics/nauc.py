"""The normalized area under a cumulative matching characteristic."""

from __future__ import annotations

import numpy as np

from ..errors import CrossbandError

__all__ = ["nauc"]


def nauc(curve: np.ndarray) -> float:
    """Compute the normalized area under a CMC curve, by the trapezoidal rule over its ranks.

    The area has the curve's unit. 1 to 20 is the range that table 2 of the ThermalReID paper (ISPRS Archives
    XLIV-2/W1-2021) must mean: the areas under chords through its five ranks are 1 to 3 below its nAUC, as
    they are under a concave curve.

    Args:
        curve: ``(n,)``, rank 1 to n, as of :func:`crossband.metrics.ranking.cmc`.

    Raises:
        CrossbandError: no curve, or not a finite one.

    Example:
        >>> nauc(np.array([0.0, 50.0, 100.0]))
        50.0
    """
    curve = np.asarray(curve, np.float64)
    if curve.ndim != 1 or not len(curve) or not np.isfinite(curve).all():
        raise CrossbandError("nAUC needs one curve of finite values")
    if len(curve) == 1:
        return float(curve[0])
    return float(np.trapezoid(curve) / (len(curve) - 1))
