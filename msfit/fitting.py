"""`msfit.fit`: drives the solver over a cube, block by block, and assembles the maps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.bands import FEWEST_BANDS, Bands, select_bands
from msfit.cube import Cube
from msfit.errors import InputError
from msfit.result import FitResult, Status
from msfit.skin.models import DEFAULT_MODEL, SkinModel, get_model
from msfit.solve.solver import Solution, Solver
from msfit.solve.uncertainty import standard_deviations

Bounds = str | Mapping[str, tuple[float, float]]
Progress = Callable[[int, int], None]

# Pixels that are screened together, and those that one solver call works on: large enough to hide the interpreter,
# small enough for a core's cache; a GPU wants all it can get.
_CHUNK = 262_144
_BLOCK = 4_096
_BLOCK_GPU = 262_144
_MAPS = ("f_mel", "f_blood", "i_d", "i_s")


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
    cube : Cube, or array (y, x, band) or (pixel, band)
        An array is reflectance [1] and needs `wavelengths`.
    wavelengths : array (band,), optional
        [nm]; only with an array.
    model : str or SkinModel
        A name from `msfit.skin.models.model_names`, or a model.
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
    >>> msfit.fit(skin, bands).f_mel.round(6)
    array([0.05, 0.1 ])
    """
    began = time.perf_counter()
    source = _as_cube(cube, wavelengths)
    skin_model = model if isinstance(model, SkinModel) else get_model(model)
    box = resolve_bounds(skin_model, bounds, free)
    chosen, dropped = select_bands(source, bands, skin_model.wavelength_range, skin_model.name)
    wanted = _wanted_pixels(chosen, mask)
    worker = _Worker.create(skin_model, box, chosen, _torch_device(device), _torch_dtype(dtype, chosen), std)
    maps = _fit_all(worker, chosen, wanted, progress)
    status = maps.pop("status").reshape(chosen.shape)
    if not (status < Status.MASKED_BY_USER).any():
        raise InputError(f"mask: no pixel is left to fit: {_reasons(status)}; check the data, the mask and the bands")
    shaped = {name: values.reshape(chosen.shape) for name, values in maps.items()}
    return FitResult(
        **{name: shaped[name] for name in (*_MAPS, "rmse")},
        status=status,
        model=skin_model.name,
        bounds=box,
        wavelengths=chosen.wavelengths,
        std={name: shaped[f"std_{name}"] for name in _MAPS} if std else None,
        attrs={
            "source": str(source.provenance.get("source", "")),
            "note": str(source.provenance.get("note", "")),
            "bands_dropped": dropped,
            "free": ",".join(free),
            "dtype": str(worker.dtype).removeprefix("torch."),
            "device": str(worker.device),
            "seconds": time.perf_counter() - began,
        },
        cube=chosen,
    )


def resolve_bounds(
    model: SkinModel, bounds: Bounds, free: Collection[str] = ("f_mel", "f_blood")
) -> dict[str, tuple[float, float]]:
    """Bounds as numbers: {parameter: (lower, upper)}.

    Raises
    ------
    InputError
        Unknown names, or bounds that are not 0 <= lower <= upper <= 1.
    """
    names = [parameter.name for parameter in model.parameters]
    if unknown := [name for name in free if name not in names]:
        raise InputError(f"free: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
    if isinstance(bounds, str) and bounds not in ("wide", "paper"):
        raise InputError(
            f"bounds: found {bounds!r}; expected wide, paper, or numbers such as f_mel=0:0.43,f_blood=0:0.07"
        )
    if not isinstance(bounds, str) and (unknown := [name for name in bounds if name not in names]):
        raise InputError(f"bounds: found {', '.join(unknown)}; model {model.name} has {', '.join(names)}")
    box = {}
    for parameter in model.parameters:
        if parameter.name not in free:
            low, high = parameter.default, parameter.default
        elif isinstance(bounds, str):
            low, high = parameter.bounds(bounds)
        else:
            low, high = _pair(parameter.name, bounds.get(parameter.name, parameter.wide))
        box[parameter.name] = (low, high)
    return box


def _pair(name: str, pair: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in pair)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 <= low <= high <= 1:
        raise InputError(f"bounds: found {name} = {pair!r}; expected two numbers with 0 <= lower <= upper <= 1")
    return low, high


def _as_cube(cube: Cube | Any, wavelengths: Any) -> Cube:
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        return cube
    if wavelengths is None:
        raise InputError("wavelengths: missing; an array of reflectance needs one number a band [nm]")
    return Cube(cube.detach().cpu().numpy() if isinstance(cube, Tensor) else cube, wavelengths)


def _wanted_pixels(cube: Cube, mask: np.ndarray | None) -> np.ndarray:
    wanted = np.ones(cube.shape, dtype=bool) if cube.mask is None else cube.mask
    return wanted if mask is None else wanted & np.asarray(cube.with_mask(mask).mask)


def _torch_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device: {name!r} cannot be used ({reason}); expected auto, cpu or a GPU that is there"
        ) from None
    return device


def _torch_dtype(name: str | None, cube: Cube) -> torch.dtype:
    if name is None:
        return torch.float64 if cube.values.dtype == np.float64 else torch.float32
    if name not in ("float32", "float64"):
        raise InputError(f"dtype: found {name!r}; expected float32 or float64")
    return torch.float64 if name == "float64" else torch.float32


@dataclass(frozen=True)
class _Worker:
    """Fits blocks of pixels: the solver with all that it needs to know."""

    solver: Solver
    box: tuple[tuple[float, float], ...]
    device: torch.device
    dtype: torch.dtype
    std: bool

    @classmethod
    def create(
        cls,
        model: SkinModel,
        box: dict[str, tuple[float, float]],
        cube: Cube,
        device: torch.device,
        dtype: torch.dtype,
        std: bool,
    ) -> _Worker:
        skin = model.at(cube.wavelengths, dtype, device)
        lower, upper = (torch.tensor(ends, dtype=dtype, device=device) for ends in zip(*box.values(), strict=True))
        return cls(Solver(skin, lower, upper), tuple(box.values()), device, dtype, std)

    def maps(self) -> list[str]:
        """Names of the columns of a fitted block."""
        return [*_MAPS, "rmse", *(f"std_{name}" for name in _MAPS if self.std)]

    def __call__(self, pixels: np.ndarray, usable: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Fit (n, band) reflectances, of which some bands are not usable: maps (n, map) and statuses (n,)."""
        y = torch.from_numpy(pixels).to(self.device, self.dtype)
        weights = None if usable is None else torch.from_numpy(usable).to(self.device, self.dtype)
        solver = self.solver
        solution = solver(y, weights)
        point = solution.point
        bands = y.shape[1] if weights is None else weights.sum(1)
        unlit = (point.i_d <= 0).unsqueeze(1)
        fractions = torch.where(unlit, torch.nan, point.fractions)
        columns = [fractions, torch.stack((point.i_d, point.i_s, (point.cost / bands).sqrt()), 1)]
        if self.std:
            columns.append(standard_deviations(solver.skin, point, y, weights, solver.lower, solver.upper))
        return torch.cat(columns, 1).cpu().numpy(), self._status(solution).cpu().numpy()

    def _status(self, solution: Solution) -> Tensor:
        point, solver = solution.point, self.solver
        held = solver.lower == solver.upper
        edge = torch.where(point.fractions <= solver.lower, 1, torch.where(point.fractions >= solver.upper, 2, 0))
        edge = torch.where(held, 0, edge)
        by_edge = torch.tensor(_BY_EDGE, dtype=torch.uint8, device=edge.device)
        status = by_edge[edge[:, 0], edge[:, 1]]
        status = torch.where(solution.converged, status, int(Status.NOT_CONVERGED))
        return torch.where(point.i_d > 0, status, int(Status.NO_DIFFUSE)).to(torch.uint8)


# Status by where f_mel (rows) and f_blood (columns) lie: inside, on the lower bound, on the upper bound.
_BY_EDGE = (
    (Status.CONVERGED, Status.F_BLOOD_LOWER, Status.F_BLOOD_UPPER),
    (Status.F_MEL_LOWER, Status.F_MEL_LOWER_F_BLOOD_LOWER, Status.F_MEL_LOWER_F_BLOOD_UPPER),
    (Status.F_MEL_UPPER, Status.F_MEL_UPPER_F_BLOOD_LOWER, Status.F_MEL_UPPER_F_BLOOD_UPPER),
)


def _fit_all(worker: _Worker, cube: Cube, wanted: np.ndarray, progress: Progress | None) -> dict[str, np.ndarray]:
    total = int(np.prod(cube.shape))
    width = total // cube.shape[0]
    dtype = np.float64 if worker.dtype == torch.float64 else np.float32
    names = worker.maps()
    maps = {name: np.full(total, np.nan, dtype) for name in names}
    status = np.full(total, Status.MASKED_BY_USER, np.uint8)
    rows = max(1, _CHUNK // width)
    with _pool(worker.device) as run:
        for first in range(0, cube.shape[0], rows):
            chunk = slice(first, min(first + rows, cube.shape[0]))
            place = slice(chunk.start * width, chunk.stop * width)
            if wanted[chunk].any():
                pixels, usable = (a.reshape(-1, a.shape[-1]) for a in cube.rows(chunk))
                status[place] = _screen(pixels, usable, wanted[chunk].ravel())
                for index, values, found in run(worker, _blocks(pixels, usable, status[place], worker.device)):
                    status[place.start + index] = found
                    for column, name in enumerate(names):
                        maps[name][place.start + index] = values[:, column]
            if progress is not None:
                progress(place.stop, total)
    return {**maps, "status": status}


def _screen(pixels: np.ndarray, usable: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Statuses (n,) before the fit: converged where a pixel may be fitted, else why not."""
    bands = usable.sum(1)
    if bands.min() == usable.shape[1]:
        mean = pixels.mean(1)
    else:
        mean = np.where(usable, pixels, 0).sum(1) / np.maximum(bands, 1)
    status = np.where(mean > 0, Status.CONVERGED, Status.MASKED_NO_SIGNAL)
    status = np.where(bands < FEWEST_BANDS, Status.MASKED_TOO_FEW_BANDS, status)
    return np.where(wanted, status, Status.MASKED_BY_USER).astype(np.uint8)


def _blocks(
    pixels: np.ndarray, usable: np.ndarray, status: np.ndarray, device: torch.device
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Blocks of pixels to fit: (index, pixels, usable), those with all their bands first, without weights."""
    size = _BLOCK if device.type == "cpu" else _BLOCK_GPU
    fittable = status == Status.CONVERGED
    complete = usable.all(1)
    for group, weighted in ((fittable & complete, False), (fittable & ~complete, True)):
        index = np.flatnonzero(group)
        for first in range(0, index.size, size):
            block = index[first : first + size]
            good = usable[block] if weighted else None
            yield block, pixels[block] if good is None else np.where(good, pixels[block], 0), good


_Blocks = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]
_Fitted = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


@contextmanager
def _pool(device: torch.device) -> Iterator[Callable[[_Worker, _Blocks], _Fitted]]:
    """How blocks are worked off: on a GPU one by one; on a CPU one thread a core, each with its own block in its cache.

    Torch's own threads would split every small operation and wait for each other after each.
    """
    if device.type != "cpu":
        yield lambda worker, blocks: ((index, *worker(pixels, usable)) for index, pixels, usable in blocks)
        return
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(
        min(threads, os.cpu_count() or 1), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:

        def run(worker: _Worker, blocks: _Blocks) -> _Fitted:
            return iter(pool.map(lambda block: (block[0], *worker(block[1], block[2])), blocks))

        try:
            yield run
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(threads)


def _reasons(status: np.ndarray) -> str:
    found = np.bincount(status.ravel(), minlength=len(Status))
    return ", ".join(f"{found[s]:,} {s.meaning}" for s in Status if found[s])
