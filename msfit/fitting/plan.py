"""A fit settled but for its pixels: on which bands, what is minimised, how and where; and the maps of some rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from msfit.data.bands import Bands, select_bands
from msfit.data.cube import Cube, precision
from msfit.data.result import FitResult, Status
from msfit.errors import InputError
from msfit.fitting.bounds import Bounds, resolve_bounds
from msfit.fitting.criterion import PerBand, resolve_criterion
from msfit.fitting.low_rank import MixtureWorker
from msfit.fitting.shared import settle_shared
from msfit.fitting.worker import (
    CORRELATION,
    PARAMETERS,
    PIGMENTS,
    STD,
    FittedBlock,
    Run,
    Worker,
    blocks,
    one_thread_in_blas,
    screen,
)
from msfit.skin.models import DEFAULT_MODEL, SkinModel, get_model

Progress = Callable[[int, int], None]

_BRIGHTEST = 10.0  # i_d of a surface in full light is about 1


@dataclass(frozen=True)
class Prepared:
    """A fit that is settled but for the pixels: what streaming and clusters share with `fit`."""

    cube: Cube  # on the bands that are fitted
    worker: Worker
    model: SkinModel
    bounds: Mapping[str, tuple[float, float]]
    free: tuple[str, ...]
    shared: tuple[str, ...]
    dropped: int  # bands
    notes: tuple[str, ...]
    mixtures: MixtureWorker | None = None  # where pixels are fitted from coefficients

    def attributes(self, notes: tuple[str, ...]) -> dict[str, Any]:
        """What a result says of how it came about."""
        provenance = self.cube.provenance
        return {
            "source": str(provenance.get("source", "")),
            "note": "; ".join(filter(None, (str(provenance.get("note", "")), *notes))),
            "bands_dropped": self.dropped,
            "free": ",".join(self.free),
            **self._about_extras(),
            "dtype": str(self.worker.dtype).removeprefix("torch."),
            "device": str(self.worker.device),
            **self.worker.criterion.attributes(),
        }

    def _about_extras(self) -> dict[str, Any]:
        extras = self.model.extra_parameters(self.worker.extras)
        about = {extra.name: {"units": extra.unit, "long_name": extra.description} for extra in extras}
        found: dict[str, Any] = {"extra": about} if about else {}
        return found | ({"shared": ",".join(self.shared)} if self.shared else {})


def prepare(
    cube: Cube,
    *,
    model: str | SkinModel = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands | None = None,
    device: str = "auto",
    dtype: str | None = None,
    free: Collection[str] = ("f_mel", "f_blood"),
    shared: Collection[str] = (),
    weights: PerBand | None = None,
    residual: str = "reflectance",
    huber: float | None = None,
    std: bool = False,
    noise: float | PerBand | None = None,
    certify: bool = False,
) -> Prepared:
    """Choose bands, bounds, device and type as `fit` does, whose arguments and errors these are.

    No pixel is read, unless there are shared parameters: then all are, several times, to estimate them.
    """
    skin_model = model if isinstance(model, SkinModel) else get_model(model)
    box = resolve_bounds(skin_model, bounds, free, shared)
    if certify and huber is not None:
        raise InputError("certify: proves sums of squares, not Huber's loss; leave out certify or huber")
    if certify and len(box) > len(PIGMENTS):
        raise InputError(f"certify: does not go with extra parameters ({', '.join(list(box)[2:])}); leave out either")
    chosen, dropped, notes = select_bands(cube, bands, skin_model.wavelength_range, skin_model.name)
    selected = chosen.wavelengths.size
    chosen, criterion = resolve_criterion(
        cube, chosen, weights=weights, residual=residual, huber=huber, noise=noise, std=std
    )
    dropped += selected - chosen.wavelengths.size
    place, kind = torch_device(device), _torch_dtype(dtype, chosen)
    if huber is not None and len(box) > len(PIGMENTS):
        raise InputError(f"huber: does not go with extra parameters ({', '.join(list(box)[2:])}); leave out either")
    if residual == "radiance" and shared:
        raise InputError("residual: found radiance with shared parameters; expected reflectance, or none shared")
    settled = settle_shared(skin_model, box, tuple(shared), chosen, criterion, place) if shared else box
    with one_thread_in_blas():
        worker = Worker.create(skin_model, settled, chosen, place, kind, criterion, std, certify)
        mixtures = MixtureWorker.over(chosen, worker)
    return Prepared(chosen, worker, skin_model, box, tuple(free), tuple(shared), dropped, tuple(notes), mixtures)


def check_names(function: str, given: Iterable[str]) -> None:
    """Refuse names of arguments that `prepare` does not take, on behalf of a function that hands them on."""
    takes = list(inspect.signature(prepare).parameters)[1:]
    if unknown := [name for name in given if name not in takes]:
        raise InputError(f"{function}: takes no {', '.join(unknown)}; of what msfit.fit takes, {', '.join(takes)}")


def fit_rows(prepared: Prepared, rows: slice, run: Run, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Maps (row, ...) and `status` of some rows; `run` comes from `worker.pool`, `mask` is that of these rows."""
    return begin_rows(prepared, rows, run, mask)(None)


def begin_rows(
    prepared: Prepared, rows: slice, run: Run, mask: np.ndarray | None = None
) -> Callable[[Progress | None], dict[str, np.ndarray]]:
    """Read and screen some rows and begin their fit; what comes back waits for its end, and returns as `fit_rows`."""
    cube, worker = prepared.cube, prepared.worker
    shape = (len(range(*rows.indices(cube.shape[0]))), *cube.shape[1:])
    count, names = int(np.prod(shape)), worker.maps()
    status = np.full(count, Status.MASKED_BY_USER, np.uint8)
    wanted = np.ones(count, bool) if mask is None else mask.ravel()
    status[wanted] = Status.CONVERGED
    begin = partial(_begin_samples, worker) if prepared.mixtures is None else prepared.mixtures.begin
    fitted = begin(cube, rows, status, run) if wanted.any() else iter(())

    def end(progress: Progress | None) -> dict[str, np.ndarray]:
        dtype = np.float64 if worker.dtype == torch.float64 else np.float32
        maps = np.full((len(names), count), np.nan, dtype)
        done = 0
        for index, values, found in fitted:
            together = index.size and index[-1] - index[0] == index.size - 1
            place = slice(index[0], index[-1] + 1) if together else index  # a slice is written much faster
            status[place], maps[:, place] = found, values
            done += index.size
            if progress is not None and done < count:
                progress(done, count)
        if progress is not None:
            progress(count, count)
        return {name: values.reshape(shape) for name, values in zip((*names, "status"), (*maps, status), strict=True)}

    return end


def _begin_samples(worker: Worker, cube: Cube, rows: slice, status: np.ndarray, run: Run) -> Iterator[FittedBlock]:
    """Blocks of some rows' pixels, fitted; `status` (n,) before is that they are wanted, then that of masked ones."""
    reflectance, usable = cube.rows(rows)
    scale = worker.criterion.scale(cube, rows, usable)
    pixels, usable, scale = (a.reshape(-1, a.shape[-1]) for a in (reflectance, usable, scale))
    status[:] = screen(pixels, usable, status == Status.CONVERGED)
    return run(worker, blocks(pixels, scale, status, worker.device))


def collect(prepared: Prepared, maps: Mapping[str, Any], attrs: Mapping[str, Any]) -> FitResult:
    """A result of maps, numpy or dask arrays (y, x) or (pixel,) by the names of `fit_rows`; none of them is read."""
    return FitResult(
        **{name: maps[name] for name in (*PARAMETERS, "rmse")},
        status=maps["status"],
        model=prepared.model.name,
        bounds=prepared.bounds,
        wavelengths=prepared.cube.wavelengths,
        std=_named(maps, STD),
        correlation=_named(maps, CORRELATION),
        attrs=attrs,
        extra={name: maps[name] for name in prepared.worker.extras},
        gap=maps.get("gap"),
        cube=prepared.cube,
    )


def assemble(prepared: Prepared, maps: Mapping[str, Any], attrs: Mapping[str, Any]) -> FitResult:
    """A result as `collect` makes it, with remarks on what the maps show.

    Raises
    ------
    InputError
        Every pixel is masked.
    """
    found = collect(prepared, maps, {})
    counts = found.counts()
    if all(status.uncertified >= Status.MASKED_BY_USER for status in counts):
        reasons = ", ".join(f"{count:,} {status.meaning}" for status, count in counts.items())
        raise InputError(f"mask: no pixel is left to fit: {reasons}; check the data, the mask and the bands")
    notes = prepared.notes
    if (median := found.median("i_d")) > _BRIGHTEST:
        notes += (f"i_d has a median of {median:.3g}: is the reflectance in percent, or the light too dim?",)
    return replace(found, attrs={**prepared.attributes(notes), **attrs})


def _named(maps: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Those of the maps whose name begins so, by the rest of it; None where there are none."""
    return {name.removeprefix(prefix): values for name, values in maps.items() if name.startswith(prefix)} or None


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
