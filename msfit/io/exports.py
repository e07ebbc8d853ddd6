"""Results for other programs, which are read back: tables (CSV), ENVI, OME-TIFF and Zarr.

What these formats do not hold of a result (attributes, bounds, coordinates, types) stands beside the maps as one text:
in the first line of a table, in the ENVI header, in the description of an OME-TIFF.
"""

from __future__ import annotations

import io
import json
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.status import Status, status_of_label
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.layout import planes, sidecar, with_sidecar
from msfit.io.output import folder_written_whole, written_whole
from msfit.io.parts import Parts

if TYPE_CHECKING:
    import xarray

MARK = "# msfit result "
_FIELD = "msfit result"
_METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micrometer": 1e-6, "cm": 1e-2, "nm": 1e-9}


# --- CSV -------------------------------------------------------------------------------------------------------------


def as_csv(parts: Parts) -> bytes:
    """A table with a pixel a row: its place, its coordinates, the maps, and the status in words."""
    import pandas

    dims, status, _ = parts.variables["status"]
    shape = np.shape(status)
    columns: dict[str, Any] = {
        dim: np.broadcast_to(np.indices(shape, sparse=True)[axis], shape).ravel() for axis, dim in enumerate(dims)
    }
    for name, (own, values, _) in parts.coords.items():
        if name != "wavelength" and set(own) <= set(dims):
            along = np.asarray(values).reshape([shape[dims.index(dim)] if dim in own else 1 for dim in dims])
            columns[name] = np.broadcast_to(along, shape).ravel()
    for name, (_, values, _) in parts.variables.items():
        columns[name] = np.broadcast_to(np.asarray(values), shape).ravel()
    codes, inverse = np.unique(columns["status"], return_inverse=True)
    columns["status"] = np.array([Status(int(code)).label for code in codes])[inverse.ravel()]
    buffer = io.StringIO()
    buffer.write(MARK + sidecar(parts) + "\n")
    with np.printoptions(legacy=False):  # colour-science asks for numbers of few digits, for the whole process
        pandas.DataFrame(columns).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().encode("utf-8")


def from_csv(path: Path) -> Parts:
    """Read what `as_csv` has written."""
    import pandas

    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if not first.startswith(MARK):
            raise InputError("a table without msfit's first line")
        # numpy reads the digits to the last bit, which parsers of tables need not do
        table = pandas.read_csv(file, dtype=str, keep_default_na=False)
    stored = first.removeprefix(MARK)
    words = {word: int(status_of_label(word)) for word in table["status"].unique()}
    maps = {name: table[name].to_numpy(object) for name in json.loads(stored)["dtypes"] if name != "status"}
    maps = {name: np.where(texts == "", "nan", texts).astype(np.float64) for name, texts in maps.items()}
    return with_sidecar({**maps, "status": table["status"].map(words).to_numpy()}, stored)


# --- ENVI ------------------------------------------------------------------------------------------------------------


def write_envi(parts: Parts, path: Path) -> None:
    """NAME.hdr and NAME.img: a band a map, band-sequential; float64 where a map is."""
    maps = planes(parts)
    wide = any(values.dtype == np.float64 for values in maps.values())
    stack = np.stack([values.astype("<f8" if wide else "<f4") for values in maps.values()])
    header = {
        "description": "{f_mel, f_blood, i_d, i_s, rmse and what else msfit found}",
        "samples": stack.shape[2],
        "lines": stack.shape[1],
        "bands": stack.shape[0],
        "header offset": 0,
        "file type": "ENVI Standard",
        "data type": 5 if wide else 4,
        "interleave": "bsq",
        "byte order": 0,
        "band names": "{" + ", ".join(maps) + "}",
        # quoted: braces end an entry
        _FIELD: urllib.parse.quote(sidecar(parts)),
    }
    text = "ENVI\n" + "".join(f"{name} = {value}\n" for name, value in header.items())
    with written_whole(path.with_suffix(".img")) as part:
        stack.tofile(part)
    with written_whole(path) as part:
        part.write_text(text, encoding="ascii")


def from_envi(path: Path) -> Parts:
    """Read what `write_envi` has written."""
    entries = {}
    for line in path.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(" = ")
        entries[name] = value
    if _FIELD not in entries:
        raise InputError("an ENVI header without msfit's entry")
    names = entries["band names"].strip("{}").split(", ")
    dtype = "<f8" if entries["data type"] == "5" else "<f4"
    shape = (len(names), int(entries["lines"]), int(entries["samples"]))
    stack = np.fromfile(path.with_suffix(".img"), dtype).reshape(shape)
    return with_sidecar(dict(zip(names, stack, strict=True)), urllib.parse.unquote(entries[_FIELD]))


# --- OME-TIFF --------------------------------------------------------------------------------------------------------


def as_tiff(parts: Parts) -> bytes:
    """OME-TIFF: floats, a named channel a map, and the size of a pixel where the coordinates tell it."""
    tifffile = need("tifffile")
    maps = planes(parts)
    metadata: dict[str, Any] = {
        "axes": "CYX",
        "Name": "msfit",
        "Channel": {"Name": list(maps)},
        "Description": sidecar(parts),
    }
    dims = parts.variables["status"][0]
    for axis, dim in zip("YX", dims, strict=False):
        if (size := _spacing(parts, dim)) is not None:
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "mm"}
    buffer = io.BytesIO()
    # the fit's own type, float32 but of wide data
    wide = any(values.dtype == np.float64 for values in maps.values())
    stack = np.stack([values.astype(np.float64 if wide else np.float32) for values in maps.values()])
    tifffile.imwrite(buffer, stack, ome=True, photometric="minisblack", metadata=metadata, compression="zlib")
    return buffer.getvalue()


def from_tiff(path: Path) -> Parts:
    """Read what `as_tiff` has written."""
    tifffile = need("tifffile")
    with tifffile.TiffFile(path) as file:
        names, text = _ome(file)
        stack = file.asarray()
    if text is None:
        raise InputError("a TIFF without msfit's description")
    shape = json.loads(text)["shape"]
    stack = stack.reshape(len(names), *shape)
    return with_sidecar(dict(zip(names, stack, strict=True)), text)


def _ome(file: Any) -> tuple[list[str], str | None]:
    """Names of the channels, and the description where it is msfit's."""
    from xml.etree import ElementTree

    if not file.ome_metadata:
        return [], None
    root = ElementTree.fromstring(file.ome_metadata)
    space = root.tag.partition("}")[0] + "}"
    description = root.findtext(f".//{space}Description")
    names = [channel.get("Name", "") for channel in root.iter(f"{space}Channel")]
    return names, description if description and description.lstrip().startswith('{"layout"') else None


def _spacing(parts: Parts, dim: str) -> float | None:
    """Distance of neighbours along an axis [mm], where its coordinate has a unit of length and even steps."""
    for own, values, attrs in parts.coords.values():
        numbers = np.asarray(values)
        if own != (dim,) or numbers.dtype.kind not in "uif" or numbers.size < 2:
            continue
        unit, steps = str(attrs.get("units", "")).strip(), np.diff(numbers.astype(float))
        if unit in _METRES and steps[0] != 0 and np.allclose(steps, steps[0], rtol=1e-4):
            return round(abs(float(steps.mean())) * _METRES[unit] * 1e3, 12)
    return None


# --- Zarr ------------------------------------------------------------------------------------------------------------


def write_zarr(dataset: xarray.Dataset, path: Path) -> None:
    """A Zarr store, which xarray opens; lazy maps are computed chunk by chunk."""
    need("zarr")
    for name, values in dataset.coords.items():
        if values.dtype.kind == "U":  # of a fixed length: no part of Zarr's specification
            dataset = dataset.assign_coords({name: values.astype(object)})
    with folder_written_whole(path) as part:
        dataset.to_zarr(part, mode="w", consolidated=False)


def open_zarr(path: Path, *, lazy: bool) -> xarray.Dataset:
    """Read what `write_zarr` has written."""
    need("zarr")
    import xarray

    dataset = xarray.open_zarr(path, consolidated=False, chunks={} if lazy else None)
    for name, values in dataset.coords.items():
        if values.dtype.kind in "OT":
            dataset = dataset.assign_coords({name: values.astype(object).astype(str)})
    return dataset if lazy else dataset.load()


def names_in(path: Path) -> set[str]:
    """Names of the maps that a file of these formats holds; none where it is no result."""
    ending = path.suffix.lower()
    if ending == ".zarr":
        return {child.name for child in path.iterdir()}
    if ending == ".csv":
        with path.open("rb") as file:
            if file.read(len(MARK)) != MARK.encode():
                return set()
            return set(json.loads(file.readline())["dtypes"])
    if ending == ".hdr":
        return set(from_envi(path).variables)
    with need("tifffile").TiffFile(path) as file:
        names, text = _ome(file)
        return set(names) if text is not None else set()
