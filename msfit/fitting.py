"""`msfit.fit`: drives the solver over a cube, block by block, and assembles the maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.bands import Bands, select_bands
from msfit.blocks import PARAMETERS, Block, FittedBlock, Worker, blocks, pool, screen
from msfit.bounds import Bounds, resolve_bounds
from msfit.chunks import row_blocks
from msfit.cube import Cube, precision
from msfit.errors import InputError
from msfit.result import FitResult, Status
from msfit.skin.models import DEFAULT_MODEL, SkinModel, get_model

Progress = Callable[[int, int], None]
Run = Callable[[Worker, Iterator[Block]], Iterator[FittedBlock]]

CHUNK = 262_144  # pixels that are read and screened together
_MOST_SAMPLES = 2**27  # of a block of rows, where a file's chunks span many of them
_BRIGHTEST = 10.0  # i_d of a surface in full light is about 1


def fit(
    cube: Cube | Any,
    wavelengths: Any = None,
    *,
    model: str | SkinModel = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands | None = None,
    mask: np.ndarray | None = None,
    device: str = "auto",
    dtype: str | None = None,
    free: Collection[str] = ("f_mel", "f_blood"),
    std: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Fit melanin, haemoglobin, diffuse and specular shading to every pixel.

    Minimises, pixel by pixel and to the global minimum, sum_b w_b (y_b - i_d r_b(f_mel, f_blood) - i_s)^2 over the
    bounds of the pigments and i_d, i_s >= 0. Here y is reflectance, and w_b is 0 for a band that is not finite,
    saturated or unlit, else 1.

    Parameters
    ----------
    cube : Cube, xarray.DataArray, or array (y, x, band) or (pixel, band)
        A plain array is reflectance [1] and needs `wavelengths`.
    wavelengths : array (band,), optional
        [nm]; only with an array.
    model : str or SkinModel
        A name from `msfit.skin.models.model_names`, or a model. The default is the calibrated `msfit-issa-2025`;
        "alotaibi-smith-2019" is the reference of the literature and of `msfit.reflectance`.
    bounds : "wide", "paper" or mapping
        Named bounds, or {"f_mel": (lower, upper), ...}; what a mapping leaves out is wide. Equal ends hold a parameter.
    bands : "A:B", "A:B:STEP", or the same as a tuple, optional
        Native bands from A to B [nm], or resampled. By default all bands inside the model's range.
    mask : bool array (y, x) or (pixel,), optional
        True where to fit, besides the cube's own mask.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", ...
    dtype : "float32", "float64" or None
        Of the computation and of the maps. None: the input's (float32 for integers).
    free : collection of str
        Parameters that are fitted; the others keep their model's default value.
    std : bool
        Also standard deviations, as `FitResult.std`.
    progress : callable (done, total), optional
        Called with numbers of pixels as the work goes on.

    Returns
    -------
    FitResult
        Maps of the shape of the picture; masked pixels are NaN, and `status` says for every pixel what became of it.
        A pixel's result does not depend on the others: alone or in any batch it is the same, to the bit on one machine.

    Raises
    ------
    InputError
        Wrong arguments, bands outside the model's range or fewer than 8 inside it, or no pixel left to fit.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "Decomposing multispectral face images into diffuse and specular shading and
    biophysical parameters", ICIP 2019, arXiv:1902.06557; "BioFaceNet", BMVC 2019, arXiv:1908.10578, eq 8-12.
    G. Golub, V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", SIAM J. Numer. Anal. 10, 1973.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance([0.05, 0.10], 0.03, bands) + 0.04
    >>> msfit.fit(skin, bands, model="alotaibi-smith-2019").f_mel.round(6)
    array([0.05, 0.1 ])
    """
    began = time.perf_counter()
    source = as_cube(cube, wavelengths)
    if mask is not None:
        source = source.with_mask(_wanted_pixels(source, mask))
    prepared = prepare(source, model=model, bounds=bounds, bands=bands, device=device, dtype=dtype, free=free, std=std)
    maps = _fit_all(prepared, progress)
    return assemble(prepared, maps, {"seconds": time.perf_counter() - began})


@dataclass(frozen=True)
class Prepared:
    """A fit that is settled but for the pixels: what streaming and clusters share with `fit`."""

    cube: Cube  # on the bands that are fitted
    worker: Worker
    model: SkinModel
    bounds: Mapping[str, tuple[float, float]]
    free: tuple[str, ...]
    dropped: int  # bands
    notes: tuple[str, ...]

    def attributes(self, notes: tuple[str, ...]) -> dict[str, Any]:
        """What a result says of how it came about."""
        provenance = self.cube.provenance
        return {
            "source": str(provenance.get("source", "")),
            "note": "; ".join(filter(None, (str(provenance.get("note", "")), *notes))),
            "bands_dropped": self.dropped,
            "free": ",".join(self.free),
            "dtype": str(self.worker.dtype).removeprefix("torch."),
            "device": str(self.worker.device),
        }


def prepare(
    cube: Cube,
    *,
    model: str | SkinModel = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands | None = None,
    device: str = "auto",
    dtype: str | None = None,
    free: Collection[str] = ("f_mel", "f_blood"),
    std: bool = False,
) -> Prepared:
    """Choose bands, bounds, device and type as `fit` does, whose arguments and errors these are, and read no pixel."""
    skin_model = model if isinstance(model, SkinModel) else get_model(model)
    box = resolve_bounds(skin_model, bounds, free)
    chosen, dropped, notes = select_bands(cube, bands, skin_model.wavelength_range, skin_model.name)
    worker = Worker.create(skin_model, box, chosen, torch_device(device), _torch_dtype(dtype, chosen), std)
    return Prepared(chosen, worker, skin_model, box, tuple(free), dropped, tuple(notes))


def fit_rows(
    prepared: Prepared, rows: slice, run: Run, progress: Progress | None = None, mask: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Maps (row, ...) and `status` of some rows; `run` comes from `msfit.blocks.pool`, `mask` is that of these rows."""
    cube, worker = prepared.cube, prepared.worker
    shape = (len(range(*rows.indices(cube.shape[0]))), *cube.shape[1:])
    count, names = int(np.prod(shape)), worker.maps()
    dtype = np.float64 if worker.dtype == torch.float64 else np.float32
    maps = {name: np.full(count, np.nan, dtype) for name in names}
    status = np.full(count, Status.MASKED_BY_USER, np.uint8)
    wanted = np.ones(count, bool) if mask is None else mask.ravel()
    if wanted.any():
        pixels, usable = (a.reshape(-1, a.shape[-1]) for a in cube.rows(rows))
        status = screen(pixels, usable, wanted)
        done = 0
        for index, values, found in run(worker, blocks(pixels, usable, status, worker.device)):
            status[index] = found
            for column, name in enumerate(names):
                maps[name][index] = values[:, column]
            done += index.size
            if progress is not None and done < count:
                progress(done, count)
    if progress is not None:
        progress(count, count)
    return {name: values.reshape(shape) for name, values in (*maps.items(), ("status", status))}


def assemble(prepared: Prepared, maps: Mapping[str, Any], attrs: Mapping[str, Any]) -> FitResult:
    """The result of a fit from its maps, numpy or dask arrays (y, x) or (pixel,) by the names of `fit_rows`.

    Raises
    ------
    InputError
        Every pixel is masked.
    """
    found = FitResult(
        **{name: maps[name] for name in (*PARAMETERS, "rmse")},
        status=maps["status"],
        model=prepared.model.name,
        bounds=prepared.bounds,
        wavelengths=prepared.cube.wavelengths,
        std={name: maps[f"std_{name}"] for name in PARAMETERS} if prepared.worker.std else None,
        cube=prepared.cube,
    )
    counts = found.counts()
    if all(status >= Status.MASKED_BY_USER for status in counts):
        reasons = ", ".join(f"{count:,} {status.meaning}" for status, count in counts.items())
        raise InputError(f"mask: no pixel is left to fit: {reasons}; check the data, the mask and the bands")
    notes = prepared.notes
    if (median := found.median("i_d")) > _BRIGHTEST:
        notes += (f"i_d has a median of {median:.3g}: is the reflectance in percent, or the light too dim?",)
    return replace(found, attrs={**prepared.attributes(notes), **attrs})


def as_cube(cube: Cube | Any, wavelengths: Any = None) -> Cube:
    """The cube of what `fit` takes.

    Raises
    ------
    InputError
        An array without wavelengths, a Cube with others than its own; whatever `Cube` refuses.
    """
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        return cube
    if hasattr(cube, "dims") and hasattr(cube, "coords"):
        return Cube.from_xarray(cube)
    if wavelengths is None:
        raise InputError("wavelengths: missing; an array of reflectance needs one number a band [nm]")
    return Cube(cube.detach().cpu().numpy() if isinstance(cube, Tensor) else cube, wavelengths)


def _wanted_pixels(cube: Cube, mask: np.ndarray) -> Any:
    given = cube.with_mask(mask).mask
    return given if cube.mask is None else cube.mask & np.asarray(given)


def torch_device(name: str) -> torch.device:
    """The device of that name, "auto" being a GPU if there is one; an InputError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise InputError(
            f"device: {name!r} cannot be used ({reason}); expected auto, cpu or a GPU that is there"
        ) from None
    return device


def _torch_dtype(name: str | None, cube: Cube) -> torch.dtype:
    if name is None:
        return torch.float64 if precision(cube.values.dtype) == np.float64 else torch.float32
    if name not in ("float32", "float64"):
        raise InputError(f"dtype: found {name!r}; expected float32 or float64")
    return torch.float64 if name == "float64" else torch.float32


def _fit_all(prepared: Prepared, progress: Progress | None) -> dict[str, np.ndarray]:
    shape = prepared.cube.shape
    total = int(np.prod(shape))
    width = total // shape[0]
    most = max(1, _MOST_SAMPLES // (width * prepared.cube.wavelengths.size))
    maps: dict[str, np.ndarray] = {}
    with pool(prepared.worker.device) as run:
        for chunk in row_blocks(prepared.cube.values, max(1, CHUNK // width), most):
            told = None if progress is None else _shifted(progress, chunk.start * width, total)
            mask = None if prepared.cube.mask is None else prepared.cube.mask[chunk]
            for name, values in fit_rows(prepared, chunk, run, told, mask).items():
                maps.setdefault(name, np.empty(shape, values.dtype))[chunk] = values
    return maps


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
