"""Builds the page: picture under several lights, maps, spectra with their fit and statuses in words, in one file."""

from __future__ import annotations

import base64
import html
import io
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from msfit.data.cube import Cube
from msfit.data.result import MAPS, FitResult, Status
from msfit.errors import InputError
from msfit.io.output import check_output, written_whole
from msfit.rendering import render
from msfit.view.packing import pack, pack_spectra

LIGHTS = ("D65", "A", "F2")
EXTENSIONS = (".html", ".htm")
_LARGEST = 1 << 21  # pixels: a browser holds some 40 bytes of each
_LABELS = {
    "f_mel": "melanin, f_mel",
    "f_blood": "haemoglobin, f_blood",
    "i_d": "diffuse shading, i_d",
    "i_s": "specular shading, i_s",
    "rmse": "RMSE",
}


class Page(str):
    """The text of a page; notebooks show it in a frame."""

    __slots__ = ()

    def save(self, path: str | Path) -> None:
        """Write the page, .html: it appears whole or not at all."""
        path = check_output(path, EXTENSIONS)
        with written_whole(path) as part:
            part.write_text(self, encoding="utf-8")

    def _repr_html_(self) -> str:
        style = "width:100%;height:860px;border:0"
        return f'<iframe sandbox="allow-scripts allow-downloads" style="{style}" srcdoc="{html.escape(self)}"></iframe>'


def make_page(result: FitResult, cube: Cube | None = None, *, title: str = "msfit") -> Page:
    """A page of a result: maps, picture, spectra and fits, regions with statistics.

    Parameters
    ----------
    result : FitResult
        A picture (y, x) of at most 2,097,152 pixels.
    cube : Cube, optional
        What was fitted, of the same pixels, with the fitted bands at least; that of the result if absent. Without
        either the page shows fitted spectra only.
    title : str
        Heading of the page.

    Returns
    -------
    Page
        Maps are float32; spectra are 8 coefficients of 16 bits, whose error the page states.

    Raises
    ------
    InputError
        A list of spectra; too many pixels; a cube of other pixels or without the fitted bands.
    """
    if len(result.shape) != 2:
        raise InputError(f"result: found {result.shape[0]:,} spectra; expected a picture (y, x)")
    if result.status.size > _LARGEST:
        raise InputError(f"result: found {result.status.size:,} pixels; expected at most {_LARGEST:,}: cut a part out")
    if cube is not None:
        result = replace(result, cube=_fitted_bands(result, cube))
    data = {
        "title": title,
        "shape": list(result.shape),
        "summary": result.summary(),
        "model": result.model,
        "wavelengths": result.wavelengths.tolist(),
        "lights": {light: _picture(result, light) for light in LIGHTS},
        "maps": [
            {"name": name, "label": _LABELS.get(name, name), "data": pack(np.asarray(values, np.float32))}
            for name, values in _maps(result).items()
        ],
        "status": pack(np.asarray(result.status).astype(np.uint16)),
        "meanings": {int(value): Status(int(value)).meaning for value in np.unique(np.asarray(result.status))},
        "colours": (255 * colormaps["cividis"](np.linspace(0, 1, 256))[:, :3]).round().astype(int).tolist(),
        "spectra": _spectra(result),
    }
    # "<" may not stand in a script: a title could close it
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    template = resources.files("msfit.view").joinpath("page.html").read_text(encoding="utf-8")
    return Page(template.replace("{{DATA}}", text))


def _fitted_bands(result: FitResult, cube: Cube) -> Cube:
    if cube.shape != result.shape:
        raise InputError(f"cube: found pixels {cube.shape}; expected those of the result, {result.shape}")
    distance = np.abs(cube.wavelengths - result.wavelengths[:, None])
    if distance.min(axis=1).max() > 1e-3:
        missing = result.wavelengths[distance.min(axis=1).argmax()]
        raise InputError(f"cube: has no band at {missing:g} nm, which was fitted; expected the scene that was fitted")
    return cube.select_bands(distance.argmin(axis=1))


def _maps(result: FitResult) -> dict[str, Any]:
    maps: dict[str, Any] = {name: getattr(result, name) for name in MAPS} | dict(result.extra)
    maps |= {f"std_{name}": values for name, values in (result.std or {}).items()}
    return maps if result.gap is None else maps | {"gap": result.gap}


def _picture(result: FitResult, light: str) -> str:
    """PNG, as a data URL: of the scene where it is at hand, else of the fit."""
    picture = render(result if result.cube is None else result.cube, light, srgb=True)
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * picture).astype(np.uint8), "RGB").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _spectra(result: FitResult) -> dict[str, Any]:
    bands = result.wavelengths.size
    found = {"fit": pack_spectra(np.asarray(result.spectra()).reshape(-1, bands))}
    if result.cube is not None:
        found["measured"] = pack_spectra(np.asarray(result.cube.rows(slice(None))[0]).reshape(-1, bands))
    return found
