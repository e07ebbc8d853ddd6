"""A fit settled but for its pixels: on which bands, what is minimised, how and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msfit.data.bands import FEWEST_BANDS, select_bands
from msfit.data.cube import Cube
from msfit.data.low_rank import LinearSpectra
from msfit.fitting.bounds import resolve_bounds
from msfit.fitting.criterion import resolve_criterion
from msfit.fitting.devices import resolve_device, resolve_dtype
from msfit.fitting.low_rank import LowRankWorker
from msfit.fitting.options import FitOptions
from msfit.fitting.rank import check_rank
from msfit.fitting.worker import Worker
from msfit.skin.channels import through
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
    options: FitOptions
    mixtures: LowRankWorker | None = None  # where pixels are fitted from coefficients

    def attributes(self, notes: tuple[str, ...]) -> dict[str, Any]:
        """What a result says of how it came about."""
        provenance = self.cube.provenance
        return {
            **({} if self.cube.axes is None else self.cube.axes.attrs),
            "source": str(provenance.get("source", "")),
            "note": "; ".join(filter(None, (str(provenance.get("note", "")), *notes))),
            "bands_dropped": self.dropped,
            "free": ",".join(self.free),
            **self._about_extras(),
            **self._about_channels(),
            "dtype": self.worker.dtype.name,
            "device": str(self.worker.device),
            **self.worker.criterion.attributes(),
        }

    def _about_channels(self) -> dict[str, Any]:
        channels, hold = self.cube.channels, self.options.hold or {}
        about: dict[str, Any] = {"hold": ",".join(f"{name}={value:g}" for name, value in hold.items())} if hold else {}
        if channels is not None:
            each = zip(channels.names, channels.centres, channels.widths, strict=True)
            about["channels"] = "; ".join(f"{name}: {centre:g} nm, {width:.3g} nm wide" for name, centre, width in each)
        return about

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
    box = resolve_bounds(skin_model, options.bounds, options.free, options.shared, options.hold)
    fewest = FEWEST_BANDS if cube.channels is None else 1
    chosen, dropped, notes = select_bands(cube, options.bands, skin_model.wavelength_range, skin_model.name, fewest)
    if chosen.channels is not None:
        skin_model = through(skin_model, chosen.channels, options.truncate)
        check_rank(skin_model, chosen.wavelengths, box, options.shadings)
    selected = chosen.wavelengths.size
    chosen, criterion = resolve_criterion(cube, chosen, options)
    dropped += selected - chosen.wavelengths.size
    place, kind = resolve_device(options.device), resolve_dtype(options.dtype, chosen)
    shared = tuple(options.shared)
    if shared:
        from msfit.fitting.shared import settle_shared  # torch's alone
    settled = settle_shared(skin_model, box, shared, chosen, criterion, place) if shared else box
    worker = Worker.create(
        skin_model, settled, chosen, place, kind, criterion, options.std, options.certify, options.shadings
    )
    mixtures = LowRankWorker.over(chosen, worker) if isinstance(chosen.values, LinearSpectra) else None
    return Prepared(
        chosen, worker, skin_model, box, tuple(options.free), shared, dropped, tuple(notes), options, mixtures
    )
