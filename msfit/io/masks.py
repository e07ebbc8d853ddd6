"""Masks in files: a picture, bright where a pixel is to be used, or a numpy array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msfit.data._checks import check_mask
from msfit.errors import InputError


def read_mask(path: str | Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A mask from a picture (bright: to be used) or a ``.npy`` file (True, 1 or 255: to be used).

    Parameters
    ----------
    path : str or Path
        ``~`` is the home folder.
    shape : tuple of int, optional
        What is expected: (y, x) or (pixel,).

    Returns
    -------
    bool array (y, x) or (pixel,)

    Raises
    ------
    InputError
        No file, no mask, or another shape.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"mask: found {str(path)!r}, which is no file; expected auto, none, or a picture or .npy file")
    try:
        if path.suffix.lower() == ".npy":
            mask = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as picture:
                grey = np.asarray(picture.convert("F"))
            mask = grey > grey.max() / 2
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"mask: {path} cannot be read as a mask; expected a picture or a .npy file") from error
    try:
        mask = check_mask(mask, mask.shape)
    except InputError as error:
        raise InputError(f"mask: {path}: {error}") from None
    if shape is not None and mask.shape != shape:
        size, expected = (" x ".join(map(str, axes)) for axes in (mask.shape, shape))
        raise InputError(f"mask: {path} has {size} pixels; expected {expected}, the scene's: scale it")
    return mask
