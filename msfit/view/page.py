"""Builds the page: picture under several lights, maps, spectra with their fit and statuses in words, in one file."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from msfit.colour.colorimetry import rgb_weights
from msfit.data.cube import Cube
from msfit.data.result import MAPS, FitResult, Status
from msfit.errors import InputError
from msfit.io.output import check_output, written_whole
from msfit.view.compare import change
from msfit.view.document import view_document
from msfit.view.packing import pack, pack_spectra
from msfit.view.sites import SITES, named_sites
from msfit.view.skin_table import skin_table

LIGHTS = ("D65", "A", "D50", "E", "F2", "F11")
EXTENSIONS = (".html", ".htm")
LARGEST = 1 << 21  # pixels: a browser holds some 200 bytes of each
_LABELS = {
    "f_mel": "melanin, f_mel",
    "f_blood": "haemoglobin, f_blood",
    "i_d": "diffuse shading, i_d",
    "i_s": "specular shading, i_s",
    "rmse": "RMSE",
    "change_f_mel": "change of melanin",
    "change_f_blood": "change of haemoglobin",
    "change_i_d": "change of diffuse shading",
    "change_i_s": "change of specular shading",
}
_CHANGES = {"f_mel": (-0.05, 0.05), "f_blood": (-0.02, 0.02), "i_d": (-0.5, 0.5), "i_s": (-0.1, 0.1)}


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


def make_page(
    result: FitResult, cube: Cube | None = None, *, second: FitResult | None = None, title: str = "msfit"
) -> Page:
    """A page of a result: maps, picture, spectra and fits, regions with statistics.

    Parameters
    ----------
    result : FitResult
        A picture (y, x) of at most 2,097,152 pixels.
    cube : Cube, optional
        What was fitted, of the same pixels, with the fitted bands at least; that of the result if absent. Without
        either the page shows fitted spectra only.
    second : FitResult, optional
        Of the same face at a later time: maps of the change are shown too (`msfit.view.compare.change`).
    title : str
        Heading of the page.

    Returns
    -------
    Page
        Where the mesh of a face is found in the picture (extra `face`), its named sites can be chosen as regions.
        Maps are float32; measured spectra are 8 coefficients of 16 bits a pixel, fitted ones are interpolated in a
        table of skin: the page states the error of both.

    Raises
    ------
    InputError
        A list of spectra; too many pixels; a cube of other pixels or without the fitted bands; a later result of
        another size or model.
    """
    check_picture("result", result.shape)
    if cube is not None:
        result = replace(result, cube=_fitted_bands(result, cube))
    maps, summary = _maps(result), result.summary()
    if second is not None:
        found = change(result, second)
        maps |= found.maps
        summary += f"; {found}"
    table = skin_table(result)
    data: dict[str, Any] = {
        "title": title,
        "shape": list(result.shape),
        "summary": summary,
        "model": result.model,
        "wavelengths": result.wavelengths.tolist(),
        "lights": {light: rgb_weights(result.wavelengths, light).tolist() for light in LIGHTS},
        "maps": [{"name": name, "label": _LABELS.get(name, name), "range": _range(result, name)} for name in maps],
        "meanings": {int(value): Status(int(value)).meaning for value in np.unique(np.asarray(result.status))},
        "layers": _layers(result),
        "colours": (255 * colormaps["cividis"](np.linspace(0, 1, 256))[:, :3]).round().astype(int).tolist(),
    }
    blobs = {name: pack(np.asarray(values, np.float32)) for name, values in maps.items()}
    blobs["status"] = pack(np.asarray(result.status).astype(np.uint16))
    if (sites := named_sites(result)) is not None:
        data["sites"] = list(SITES)
        blobs["sites"] = pack(sites)
    bands = result.wavelengths.size
    errors = []
    if table is None:
        data["fit"], packed = pack_spectra(np.asarray(result.spectra()).reshape(-1, bands))
        blobs |= {f"fit.{name}": blob for name, blob in packed.items()}
        errors.append(f"fit {data['fit']['error']:.1e}")
    else:
        data["table"], packed = table
        blobs |= packed
        errors.append(f"fit {data['table']['error']:.1e}")
    if result.cube is not None:
        data["measured"], packed = pack_spectra(np.asarray(result.cube.rows(slice(None))[0]).reshape(-1, bands))
        blobs |= {f"measured.{name}": blob for name, blob in packed.items()}
        errors.append(
            f"measured {data['measured']['error']:.1e}, from {len(data['measured']['basis'])} coefficients of 16 bits"
        )
    data["errors"] = f"RMS error of what is drawn [1]: {'; '.join(errors)}."
    return Page(view_document("page", data, blobs))


def check_picture(what: str, shape: tuple[int, ...]) -> None:
    """Refuse a list of spectra, and more pixels than a page can hold."""
    if len(shape) != 2:
        raise InputError(f"{what}: found {shape[0]:,} spectra; expected a picture (y, x)")
    if shape[0] * shape[1] > LARGEST:
        raise InputError(f"{what}: found {shape[0] * shape[1]:,} pixels; expected at most {LARGEST:,}: cut a part out")


def _range(result: FitResult, name: str) -> tuple[float, float]:
    """Ends of a map's colours that are the same for all results of its kind."""
    if name in result.bounds and np.isfinite(result.bounds[name]).all():
        return result.bounds[name]
    if name.startswith("change_"):
        return _CHANGES[name.removeprefix("change_")]
    return {"i_d": (0.0, 1.5), "i_s": (0.0, 0.3), "rmse": (0.0, 0.03), "gap": (0.0, 1e-5)}.get(name, (0.0, 0.05))


def _layers(result: FitResult) -> dict[str, str]:
    """Flags of statuses that occur, with their words."""
    present = np.unique(np.asarray(result.status))
    flags = [flag for flag in Status if flag and flag.value.bit_count() == 1 and (present & int(flag)).any()]
    clean = {"0": "converged inside the bounds"} if 0 in present else {}
    return clean | {str(int(flag)): flag.label.replace("_", " ") for flag in flags}


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
