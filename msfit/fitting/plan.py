"""A fit settled but for its pixels: on which bands, what is minimised, how and where."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from msfit.data.bands import FEWEST_BANDS, select_bands
from msfit.data.cube import Cube
from msfit.data.low_rank import LinearSpectra
from msfit.fitting.bounds import resolve_bounds
from msfit.fitting.criterion import resolve_criterion
from msfit.fitting.devices import resolve_device, resolve_dtype
from msfit.fitting.low_rank import LowRankWorker
from msfit.fitting.options import FitOptions
from msfit.fitting.prior import PixelPrior
from msfit.fitting.rank import check_rank
from msfit.fitting.worker import Worker
from msfit.skin.channels import reach_inside, through, truncated
from msfit.skin.models import SkinModel, get_model


@dataclass(frozen=True)
class Prepared:
    """A fit that is settled but for the pixels: what streaming and clusters share with `fit`."""

    cube: Cube  # on the bands that are fitted
    options: FitOptions
    worker: Worker
    model: SkinModel
    bounds: Mapping[str, tuple[float, float]]
    shared: tuple[str, ...]
    dropped: int  # bands
    notes: tuple[str, ...]
    about: Mapping[str, Any]  # how it is fitted, for the attributes of a result
    mixtures: LowRankWorker | None = None  # where pixels are fitted from coefficients

    def attributes(self, notes: tuple[str, ...]) -> dict[str, Any]:
        """What a result says of how it came about."""
        provenance = self.cube.provenance
        return {
            **({} if self.cube.axes is None else self.cube.axes.attrs),
            "source": str(provenance.get("source", "")),
            "note": "; ".join(filter(None, (str(provenance.get("note", "")), *notes))),
            "bands_dropped": self.dropped,
            **({"mask": provenance["mask"]} if "mask" in provenance else {}),
            **self.about,
            **self._about_channels(),
        }

    def _about_channels(self) -> dict[str, Any]:
        channels, hold = self.cube.channels, self.options.hold or {}
        about: dict[str, Any] = {"hold": ",".join(f"{name}={value:g}" for name, value in hold.items())} if hold else {}
        if channels is not None:
            each = zip(channels.names, channels.centres, channels.widths, strict=True)
            about["channels"] = "; ".join(f"{name}: {centre:g} nm, {width:.3g} nm wide" for name, centre, width in each)
        return about


# Plans of the last fits, without their pixels: fits of many pictures of one kind settle theirs once.
_KEPT: dict[Hashable, tuple[np.ndarray | None, Callable[..., Prepared]]] = {}
_MOST_KEPT = 32


def prepare(cube: Cube, options: FitOptions) -> Prepared:
    """Settle what does not depend on pixels: bands, bounds, criterion, device and type.

    No pixel is read, unless there are shared parameters: then all are, several times, to estimate them.

    Raises
    ------
    InputError
        Options that do not fit the model or the data.
    """
    key = _key(cube, options)
    if key in _KEPT:
        bands, plan = _KEPT[key]
        chosen = cube if bands is None else cube.select_bands(bands)
    else:
        chosen, plan = _settle(cube, options)
        if key is not None:
            _keep(key, cube, chosen, plan)
    if not isinstance(chosen.values, LinearSpectra):
        return plan(chosen, options)
    return plan(chosen, options, mixtures=LowRankWorker.over(chosen, plan(chosen, options).worker))


def _keep(key: Hashable, cube: Cube, chosen: Cube, plan: Callable[..., Prepared]) -> None:
    for oldest in list(_KEPT)[: 1 - _MOST_KEPT]:
        _KEPT.pop(oldest, None)
    every = chosen.wavelengths.size == cube.wavelengths.size
    _KEPT[key] = None if every else np.searchsorted(cube.wavelengths, chosen.wavelengths), plan


def _key(cube: Cube, options: FitOptions) -> Hashable | None:
    """What a plan follows from; None where it is not kept: of channels, resampled bands, arrays among the options."""
    rare = (options.bands, options.prior, options.weights, options.noise, options.huber, cube.channels)
    if any(value is not None for value in rare) or options.shared or not isinstance(options.bounds, str):
        return None
    held, data = tuple((options.hold or {}).items()), (cube.wavelengths.tobytes(), cube.values.dtype)
    how = (options.dtype, options.device, options.std, options.certify, options.residual, cube.illuminant is None)
    return (options.model, options.bounds, tuple(options.free), held, *data, *how)


def _settle(cube: Cube, options: FitOptions) -> tuple[Cube, Callable[..., Prepared]]:
    """The cube on the bands that are fitted, and all else of its plan."""
    skin_model = get_model(options.model) if isinstance(options.model, str) else options.model
    box = resolve_bounds(skin_model, options.bounds, options.free, options.shared, options.hold)
    fewest = FEWEST_BANDS if cube.channels is None else 1
    prior, given = None, options.prior
    if given is not None:
        prior = PixelPrior.resolve(given, skin_model, box, options.shadings, cube)
    chosen, dropped, notes = select_bands(cube, options.bands, skin_model.wavelength_range, skin_model.name, fewest)
    if (responses := chosen.channels) is not None:
        if chosen.fwhm is not None:  # of which a file tells: nobody asked for those at the ends
            whole = reach_inside(skin_model, responses, options.truncate)
            if 1 <= whole.size < len(responses):
                dropped += len(responses) - whole.size
                notes = [*notes, f"{len(responses) - whole.size} bands reach outside the model's range: left out"]
                chosen, responses = chosen.select_bands(whole), responses.take(whole)
        notes = [*notes, *truncated(skin_model, responses)]
        skin_model = through(skin_model, responses, options.truncate)
        check_rank(skin_model, chosen.wavelengths, box, options.shadings, prior)
    selected = chosen.wavelengths.size
    chosen, criterion = resolve_criterion(cube, chosen, options)
    minimised = criterion.attributes()
    dropped += selected - chosen.wavelengths.size
    place, kind = resolve_device(options.device), resolve_dtype(options.dtype, chosen)
    shared = tuple(options.shared)
    if shared:
        from msfit.fitting.shared import settle_shared  # torch's alone
    settled = settle_shared(skin_model, box, shared, chosen, criterion, place) if shared else box
    known = None if prior is None else PixelPrior.over(prior, chosen, criterion)
    worker = Worker.create(
        skin_model, settled, chosen, place, kind, criterion, options.std, options.certify, options.shadings, known
    )
    about = {
        "free": ",".join(options.free),
        **(_about_extras(skin_model, extras) if (extras := list(box)[2:]) else {}),
        **({"shared": ",".join(shared)} if shared else {}),
        "dtype": kind.name,
        "device": str(place),
        **minimised,
        **({} if known is None else {"prior": known.described(options.prior)}),
    }
    plan = partial(
        Prepared, worker=worker, model=skin_model, bounds=box, shared=shared, dropped=dropped, notes=tuple(notes)
    )
    return chosen, partial(plan, about=about)


def _about_extras(model: SkinModel, names: list[str]) -> dict[str, Any]:
    about = {
        extra.name: {"units": extra.unit, "long_name": extra.description} for extra in model.extra_parameters(names)
    }
    return {"extra": about}
