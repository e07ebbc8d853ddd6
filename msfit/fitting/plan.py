"""A fit settled but for its pixels: on which bands, what is minimised, how and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from msfit.data.bands import select_bands
from msfit.data.cube import Cube, precision
from msfit.errors import InputError
from msfit.fitting.bounds import resolve_bounds
from msfit.fitting.criterion import resolve_criterion
from msfit.fitting.low_rank import MixtureWorker
from msfit.fitting.options import FitOptions
from msfit.fitting.shared import settle_shared
from msfit.fitting.worker import Worker, one_thread_in_blas
from msfit.skin.models import SkinModel, get_model


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


def prepare(cube: Cube, options: FitOptions) -> Prepared:
    """Settle what does not depend on pixels: bands, bounds, criterion, device and type.

    No pixel is read, unless there are shared parameters: then all are, several times, to estimate them.

    Raises
    ------
    InputError
        Options that do not fit the model or the data.
    """
    skin_model = get_model(options.model) if isinstance(options.model, str) else options.model
    box = resolve_bounds(skin_model, options.bounds, options.free, options.shared)
    chosen, dropped, notes = select_bands(cube, options.bands, skin_model.wavelength_range, skin_model.name)
    selected = chosen.wavelengths.size
    chosen, criterion = resolve_criterion(cube, chosen, options)
    dropped += selected - chosen.wavelengths.size
    place, kind = torch_device(options.device), _torch_dtype(options.dtype, chosen)
    shared = tuple(options.shared)
    settled = settle_shared(skin_model, box, shared, chosen, criterion, place) if shared else box
    with one_thread_in_blas():
        worker = Worker.create(skin_model, settled, chosen, place, kind, criterion, options.std, options.certify)
        mixtures = MixtureWorker.over(chosen, worker)
    return Prepared(chosen, worker, skin_model, box, tuple(options.free), shared, dropped, tuple(notes), mixtures)


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
    return torch.float64 if name == "float64" else torch.float32
