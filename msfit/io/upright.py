"""Pictures turned upright, as EXIF and TIFF say how they are stored."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Number of the tag (EXIF 2.32; TIFF 6.0).
ORIENTATION = 0x0112
_TURN: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def is_turned(orientation: int) -> bool:
    """Whether a picture with this tag is stored other than upright."""
    return orientation in _TURN


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """A picture (y, x, ...) as it is meant to be seen, from how it is stored.

    Parameters
    ----------
    picture : array (y, x) or (y, x, channel)
    orientation : int
        The tag: 1 to 8. Others change nothing.
    """
    return np.ascontiguousarray(_TURN[orientation](picture)) if orientation in _TURN else picture
