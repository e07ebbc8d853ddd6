"""What a fit minimises, and what its uncertainty goes by: weights, the residual's unit, Huber's loss, known noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.bands import FEWEST_BANDS
from msfit.data.cube import TURNED_ROUND, Cube
from msfit.errors import InputError
from msfit.fitting.options import FitOptions, is_number

if TYPE_CHECKING:
    from torch import Tensor

    from msfit.solve.loss import Loss

# A band of less weight than this share of the largest is lost in the rounding of single precision.
_LEAST_WEIGHT = 1e-6
_NOISE_LIMITS = (1e-100, 1e100)  # whose squares can be computed with, in whatever unit


@dataclass(frozen=True, eq=False)
class Criterion:
    """sum_b w_b rho(s_b e_b) with e the residual in reflectance; by default the plain sum of squares.

    Attributes
    ----------
    weights : float64 array (band,), optional
        w of the bands that are fitted: positive, 1 on average.
    radiance : bool
        s is the illuminant, so that s e is a residual in radiance; else s is 1.
    huber : float, optional
        Threshold of Huber's loss, in the unit of s e.
    noise : float64 array (band,), optional
        Known standard deviation of s e, by which the uncertainty goes instead of by the residual.
    """

    weights: np.ndarray | None = None
    radiance: bool = False
    huber: float | None = None
    noise: np.ndarray | None = None

    @cached_property
    def plain(self) -> bool:
        """Whether the sum of squares itself is minimised."""
        return self.weights is None and not self.radiance and self.huber is None

    def scale(self, cube: Cube, rows: slice, usable: np.ndarray) -> np.ndarray:
        """s of some rows' samples, of the shape of `usable`, which it is itself where s is 1; 0 where not usable."""
        if not self.radiance:
            return usable
        light = cube.illuminant if cube.illuminant.ndim == 1 else np.asarray(cube.illuminant[rows])
        return np.where(usable & np.isfinite(light), light, 0).astype(np.float64)

    def squares(self, scale: np.ndarray | None, pixels: np.ndarray) -> np.ndarray | None:
        """Weights (n, band) of squared residuals in reflectance with scales (n, band), None for ones."""
        if scale is None:
            return None if self.weights is None else np.broadcast_to(self.weights.astype(pixels.dtype), pixels.shape)
        squares = (scale / self._unit(scale)).astype(pixels.dtype) ** 2
        return squares if self.weights is None else squares * self.weights.astype(pixels.dtype)

    def _unit(self, scale: np.ndarray) -> np.ndarray:
        """What each pixel's scales are divided by, (n, 1): no unit of radiance is then too large or too small."""
        if not self.radiance:
            return np.ones((len(scale), 1))
        return np.maximum(scale.max(1, keepdims=True), np.finfo(scale.dtype).tiny)

    def loss(self, scale: np.ndarray | None, pixels: Tensor) -> Loss:
        """The loss of pixels (n, band), tensors, with scales (n, band), None for ones."""
        import torch

        from msfit.solve.loss import Loss

        weights = None if self.weights is None else torch.from_numpy(self.weights).to(pixels)
        sigma = None if self.noise is None else torch.from_numpy(self.noise).to(pixels.device)
        unit = torch.ones(len(pixels), 1, dtype=torch.float64, device=pixels.device)
        scales = None
        if scale is not None:
            unit = torch.from_numpy(self._unit(scale)).to(pixels.device)
            scales = (torch.from_numpy(scale).to(pixels.device) / unit).to(pixels.dtype)
        threshold = None if self.huber is None else (self.huber / unit).to(pixels.dtype)
        # sigma stays in float64, in which alone it is used
        return Loss(weights, scales, threshold, None if sigma is None else sigma / unit)

    def attributes(self) -> dict[str, Any]:
        """What was asked for other than by default, for the attributes of a result."""
        if self.plain and self.noise is None:
            return {}
        found: dict[str, Any] = {"residual": "radiance"} if self.radiance else {}
        for name in ("weights", "huber", "noise"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value.tolist() if isinstance(value, np.ndarray) else value
        return found


def resolve_criterion(source: Cube, chosen: Cube, options: FitOptions) -> tuple[Cube, Criterion]:
    """The criterion, and the cube without the bands whose weight is 0.

    Parameters
    ----------
    source, chosen : Cube
        As given, whose bands `weights` and `noise` belong to, and on the bands chosen for the fit.
    options : FitOptions
        Of which `weights`, `residual`, `huber` and `noise` are settled.

    Raises
    ------
    InputError
        Values that are no weights or noise; fewer than 8 bands that weigh a millionth of the largest weight; radiance
        without an illuminant, or resampled; noise in percent.
    """
    weights, residual, huber, noise = options.weights, options.residual, options.huber, options.noise
    if residual == "radiance" and chosen.illuminant is None:
        why = "has been resampled to reflectance; leave the step out of bands"
        raise InputError(
            "residual: radiance needs a cube with an illuminant, and this one "
            + (why if source.illuminant is not None else "holds reflectance; give the light, or fit reflectance")
        )
    sigma = None if noise is None else _per_band("noise", noise, source, chosen)
    if sigma is not None:
        _check_noise(sigma, chosen.wavelengths, residual)
    w = None if weights is None else _per_band("weights", weights, source, chosen)
    if w is not None:
        w = w / max(w.max(), np.finfo(float).tiny)
        count = np.count_nonzero(w >= _LEAST_WEIGHT)
        if count < FEWEST_BANDS:
            raise InputError(
                f"weights: {count} of {w.size} fitted bands weigh at least {_LEAST_WEIGHT:g} of the largest weight;"
                f" expected {FEWEST_BANDS} or more"
            )
        used = np.flatnonzero(w > 0)
        if used.size < w.size:
            chosen, w = chosen.select_bands(used), w[used]
            sigma = None if sigma is None else sigma[used]
        w = None if (w == w[0]).all() else w / w.mean()
    return chosen, Criterion(w, residual == "radiance", None if huber is None else float(huber), sigma)


def _per_band(name: str, given: Any, source: Cube, chosen: Cube) -> np.ndarray:
    """A number for each band of `chosen`, (band,) of float64; NaN where a range of noise is not given."""
    noise = name == "noise"
    kind = (
        f"{'a number > 0, one' if noise else 'a number >= 0'} a band, or numbers for ranges as {{(400, 450): 0.5}} [nm]"
    )
    own = source.wavelengths
    if isinstance(given, Mapping):
        values = np.full(own.size, np.nan if noise else 1.0)
        stated = np.array([value for value in given.values() if is_number(value)], np.float64)
        for pair, value in given.items():
            try:
                low, high = (float(end) for end in pair)
            except (TypeError, ValueError):
                low = high = np.nan
            inside = (own >= low) & (own <= high)
            if not is_number(value) or not inside.any():
                raise InputError(f"{name}: found {pair!r}: {value!r} for {inside.sum()} bands; expected {kind}")
            values[inside] = value
    else:
        try:
            found = np.asarray(given)
        except ValueError:  # ragged
            found = np.array(None)
        if found.dtype.kind not in ("uif" if noise else "buif"):
            raise InputError(f"{name}: found {_shown(given)}; expected {kind}")
        stated = values = found.astype(np.float64)
        if noise and values.ndim == 0:
            values = np.full(own.size, values)
        elif values.shape != own.shape:
            raise InputError(f"{name}: found shape {values.shape}, the data have {own.size} bands; expected {kind}")
        elif TURNED_ROUND in str(source.provenance.get("note", "")):
            raise InputError(f"{name}: found a list, but {TURNED_ROUND}; give ranges as {{(400, 450): 0.5}} [nm]")
    bad = ~np.isfinite(stated) | (stated < 0) | (noise & (stated == 0))
    if bad.any():
        raise InputError(f"{name}: found {stated[bad].flat[0]:g}; expected {kind}")
    # native bands are hit exactly; between them weights run as the resampled values do
    return np.interp(chosen.wavelengths, own, values)


def _check_noise(sigma: np.ndarray, wavelengths: np.ndarray, residual: str) -> None:
    if (missing := np.isnan(sigma)).any():
        raise InputError(
            f"noise: found none at {wavelengths[missing][0]:g} nm; expected a standard deviation > 0 for every band"
        )
    low, high = _NOISE_LIMITS
    if (odd := (sigma < low) | (sigma > high)).any():
        raise InputError(
            f"noise: found {sigma[odd][0]:g}; expected standard deviations in the unit of the residual,"
            f" {low:g} to {high:g}"
        )
    if residual == "reflectance" and sigma.min() > 1:
        raise InputError(
            f"noise: found {sigma.min():g} or more in every band; expected standard deviations of reflectance, in"
            " fractions of 1: divide percent by 100"
        )


def _shown(given: Any) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) < 60 else f"{text[:56]} ..."
