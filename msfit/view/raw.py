"""A page of a scene before it is fitted: raw counts, to find a white patch in."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.io.extras import need
from msfit.view.document import view_document
from msfit.view.packing import pack, pack_spectra
from msfit.view.page import Page, check_picture

_RED_GREEN_BLUE = (610.0, 545.0, 465.0)  # nm, near the peaks of CIE 1931 matching functions as sRGB shows them
_BRIGHT = 99.5  # percentile that is shown white


def make_raw_page(cube: Cube, *, raw: bool, title: str = "msfit") -> Page:
    """A page of a scene: its picture from three bands, spectra of patches, and the words that name a white patch.

    Parameters
    ----------
    cube : Cube
        A picture (y, x) of at most 2,097,152 pixels. Of raw counts, as ``msfit.load(path, white="unknown")`` reads
        them.
    raw : bool
        Whether there is no white reference yet: numbers are counts then, reflectance [1] else.
    title : str
        Heading of the page: the file's name.

    Returns
    -------
    Page
        Spectra are 8 coefficients of 16 bits a pixel; the page states their error.

    Raises
    ------
    InputError
        A list of spectra; too many pixels.
    """
    check_picture("scene", cube.shape)
    values, usable = cube.rows(slice(None))
    level = float(np.asarray(cube.illuminant).flat[0]) if raw and cube.illuminant is not None else 1.0
    values = np.asarray(values, np.float64) * level
    packed, blobs = pack_spectra(values.reshape(-1, cube.wavelengths.size))
    data: dict[str, Any] = {
        "title": title,
        "shape": list(cube.shape),
        "raw": raw,
        "wavelengths": cube.wavelengths.tolist(),
        "picture": _png(values, cube.wavelengths),
        "measured": packed,
        "saturation": cube.saturation,
        "errors": f"RMS error of spectra: {packed['error']:.2g}{'' if raw else ' [1]'}.",
    }
    unusable = (~np.asarray(usable)).sum(-1).clip(0, 255).astype(np.uint8)
    held = {f"measured.{name}": blob for name, blob in blobs.items()} | {"bad": pack(unusable)}
    return Page(view_document("raw", data, held))


def _png(values: np.ndarray, wavelengths: np.ndarray) -> str:
    """Three bands as an 8-bit PNG, each up to its own bright end, brightened by a square root: base64."""
    image = need("PIL.Image")
    planes = []
    for nm in _RED_GREEN_BLUE:
        plane = np.nan_to_num(values[..., int(np.abs(wavelengths - nm).argmin())])
        bright = float(np.percentile(plane, _BRIGHT))
        planes.append(np.sqrt(np.clip(plane / bright if bright > 0 else plane, 0, 1)))
    stream = BytesIO()
    image.fromarray(np.rint(255 * np.stack(planes, -1)).astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
