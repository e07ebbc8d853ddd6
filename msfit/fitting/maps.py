"""What is said of pixels: whether they can be fitted, and the maps and statuses of their solutions.

Written for numpy arrays and torch tensors alike, so that on a GPU nothing else has to leave it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.data.bands import FEWEST_BANDS
from msfit.data.status import STATUS_TYPE, Status
from msfit.skin.arrays import NAMESPACES

LEAST_SIGNAL = 1e-12  # mean reflectance below which squares underflow
LEAST_DIFFUSE = 1e-6  # of i_s: less diffuse light is rounding, and tells nothing of pigments

# Of each pigment: on the lower bound, on the upper bound.
_EDGES = (Status.F_MEL_LOWER, Status.F_MEL_UPPER), (Status.F_BLOOD_LOWER, Status.F_BLOOD_UPPER)


def screened(mean: Any, bands: Any, fewest: int = FEWEST_BANDS) -> Any:
    """Statuses (n,) before the fit, by mean reflectance and usable bands: converged, or why it cannot be fitted.

    uint16 of arrays, int64 of tensors, as all statuses here.
    """
    status = _choice(mean > LEAST_SIGNAL, Status.CONVERGED, Status.MASKED_NO_SIGNAL)
    few = _choice(bands < fewest, Status.MASKED_TOO_FEW_BANDS, Status.CONVERGED)
    return NAMESPACES[type(mean)].where(few > 0, few, status)


def diffuse(i_d: Any, i_s: Any) -> Any:
    """i_d (n,) without what is rounding beside i_s."""
    return NAMESPACES[type(i_d)].where(i_d > LEAST_DIFFUSE * i_s, i_d, 0)


def statuses(fractions: Any, i_d: Any, converged: Any, lower: Any, upper: Any, proved: Any = None) -> Any:
    """Statuses (n,) of fits that ended at fractions (2 or more, n) of the box [lower, upper], some `proved` global."""
    # a global minimum is one, however the descent ended
    ended = converged if proved is None else converged | proved
    status = _choice(ended, Status.CONVERGED, Status.NOT_CONVERGED)
    for x, low, high, (below, above) in zip(fractions, lower, upper, _EDGES, strict=False):
        if low < high:
            status = status | _choice(x <= low, below, Status.CONVERGED) | _choice(x >= high, above, Status.CONVERGED)
    unlit = _choice(i_d <= 0, Status.NO_DIFFUSE, Status.CONVERGED)
    status = NAMESPACES[type(i_d)].where(unlit > 0, unlit, status)
    return status if proved is None else status | _choice(proved, Status.GLOBAL, Status.CONVERGED)


def finite_only(maps: Any, status: Any, rmse: Any) -> tuple[Any, Any]:
    """Maps (map, n) and statuses (n,), without those of samples whose squares the type does not hold."""
    xp = NAMESPACES[type(rmse)]
    finite = xp.isfinite(rmse)
    if xp is np and finite.all():  # a GPU would have to be waited for
        return maps, status
    failed = _choice(finite, Status.CONVERGED, Status.NOT_CONVERGED)
    return xp.where(finite, maps, xp.nan), xp.where(failed > 0, failed, status)


def _choice(condition: Any, yes: Status, no: Status) -> Any:
    xp = NAMESPACES[type(condition)]
    flags = (STATUS_TYPE(yes), STATUS_TYPE(no)) if xp is np else (int(yes), int(no))
    return xp.where(condition, *flags)
