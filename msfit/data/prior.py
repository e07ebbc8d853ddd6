"""What is known of skin before it is measured: Gaussians or mixtures of them, for all pixels or one a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msfit.errors import InputError

#: The numbers of a pixel that a prior may be about, in the order in which fits have them.
NUMBERS = ("f_mel", "f_blood", "i_d", "i_s")


@dataclass(frozen=True, eq=False)
class SkinPrior:
    """A density of some of the numbers of a pixel, f_mel, f_blood, i_d and i_s.

    Parameters
    ----------
    mean : array (..., k)
        Of a Gaussian: means of the k numbers, or of each pixel its own, in the shape of the picture.
    covariance : array (..., k, k)
        Covariances, positive definite: what is known exactly is to be held.
    names : sequence of str
        The k numbers.
    shares : array (component,), optional
        Of a mixture, positive, made to sum to 1; `mean` is (component, k) and `covariance` (component, k, k) then, the
        same for all pixels.
    residual : array (band, band), optional
        Covariance of what a model leaves over of skin, which fits add to the noise; with `wavelengths`.
    wavelengths : array (band,), optional
        [nm], of `residual`.
    source : str
        Where it comes from, in a few words.

    Raises
    ------
    InputError
        Unknown numbers, shapes that do not match, covariances that are not symmetric and positive definite.

    Examples
    --------
    >>> SkinPrior([0.1, 0.03], np.diag([0.05, 0.01]) ** 2, ("f_mel", "f_blood"))
    <SkinPrior of f_mel, f_blood>
    """

    mean: np.ndarray
    covariance: np.ndarray
    names: tuple[str, ...]
    shares: np.ndarray | None = None
    residual: np.ndarray | None = None
    wavelengths: np.ndarray | None = None
    source: str = ""

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        if not names or len(set(names)) < len(names) or (set(names) - set(NUMBERS)):
            raise InputError(f"prior: found {', '.join(map(str, names)) or 'no names'}; expected some of {_LISTED}")
        mean, covariance = (_numbers(name, getattr(self, name)) for name in ("mean", "covariance"))
        k = len(names)
        if mean.shape[-1:] != (k,) or covariance.shape[-2:] != (k, k):
            raise InputError(
                f"prior: found a mean {mean.shape} and a covariance {covariance.shape}; expected (..., {k}) and"
                f" (..., {k}, {k}) for {', '.join(names)}"
            )
        try:
            shape = np.broadcast_shapes(mean.shape[:-1], covariance.shape[:-2])
        except ValueError:
            raise InputError(
                f"prior: found means of {mean.shape[:-1]} pixels and covariances of {covariance.shape[:-2]}; expected"
                " the same"
            ) from None
        mean = np.broadcast_to(mean, (*shape, k))
        covariance = np.broadcast_to(covariance, (*shape, k, k))
        if self.shares is not None:
            shares = _numbers("shares", self.shares)
            if len(shape) != 1 or shares.shape != shape or not (shares > 0).all():
                raise InputError(
                    f"prior: found shares {shares.shape} of a mixture of {shape}; expected a positive one a component"
                )
            object.__setattr__(self, "shares", shares / shares.sum())
        known = np.isfinite(mean).all(-1) & np.isfinite(covariance).all((-1, -2))
        if not np.allclose(covariance[known], np.swapaxes(covariance[known], -1, -2), rtol=1e-6, atol=1e-300):
            raise InputError("prior: found a covariance that is not symmetric")
        scale = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), np.finfo(float).tiny))
        unit = covariance / (scale[..., :, None] * scale[..., None, :])
        if not known.any() or not _positive(unit[known]):
            raise InputError(
                "prior: found standard deviations or covariances that are not positive; expected positive ones: hold"
                " what is known exactly"
            )
        for name, value in (("names", names), ("mean", mean), ("covariance", covariance)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        pixels = f", {' x '.join(map(str, self.pixels))} pixels" if self.pixels else ""
        return f"<{type(self).__name__} of {', '.join(self.names)}{pixels}{f': {self.source}' if self.source else ''}>"

    @classmethod
    def of(cls, given: SkinPrior | Mapping[str, Any]) -> SkinPrior:
        """A prior as it is, or from means and standard deviations {"f_mel": (mean, sd), ...}, numbers or maps."""
        if isinstance(given, SkinPrior):
            return given
        if not isinstance(given, Mapping):
            raise InputError(f"prior: found {type(given).__name__}; expected {_EXPECTED}")
        pairs = {}
        for name, pair in given.items():
            try:
                mean, deviation = (np.asarray(part, np.float64) for part in pair)
            except (TypeError, ValueError):
                raise InputError(f"prior: found {name} = {pair!r}; expected (mean, standard deviation)") from None
            if not (deviation[np.isfinite(deviation)] > 0).all():
                raise InputError(
                    f"prior: found a standard deviation of {name} that is not positive; expected positive ones: hold"
                    " what is known exactly"
                )
            pairs[str(name)] = mean, deviation
        try:
            parts = np.broadcast_arrays(*(part for pair in pairs.values() for part in pair))
        except ValueError:
            raise InputError("prior: found maps of different shapes; expected numbers, or maps of one shape") from None
        if not parts:
            raise InputError(f"prior: found no numbers; expected {_EXPECTED}")
        covariance = np.stack(parts[1::2], -1)[..., None] ** 2 * np.eye(len(pairs))
        return cls(np.stack(parts[::2], -1), covariance, tuple(pairs))

    @classmethod
    def from_file(cls, path: str | Path) -> SkinPrior:
        """From an .npz file with `mean`, `covariance` and `names`, and `shares` of a mixture.

        Raises
        ------
        InputError
            No such file, or not with these arrays.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                names = tuple(str(name) for name in np.atleast_1d(file["names"]))
                return cls(file["mean"], file["covariance"], names, file.get("shares"))
        except (OSError, KeyError, ValueError, EOFError) as error:
            if isinstance(error, InputError):
                raise InputError(f"{path}: {error}") from None
            raise InputError(f"prior: {path} cannot be read; expected .npz with mean, covariance, names") from None

    @property
    def pixels(self) -> tuple[int, ...]:
        """Shape of the picture, where each pixel has its own; else ()."""
        return () if self.shares is not None else self.mean.shape[:-1]

    @property
    def variance(self) -> np.ndarray:
        """Variance of each number (..., k): of a mixture that of the whole."""
        own = np.diagonal(self.covariance, axis1=-2, axis2=-1)
        if self.shares is None:
            return own
        middle = self.shares @ self.mean
        return np.asarray(self.shares @ (own + (self.mean - middle) ** 2))

    def without(self, held: Sequence[str]) -> SkinPrior | None:
        """The density of the numbers that are not held, whatever these are; None where all are held."""
        kept = [place for place, name in enumerate(self.names) if name not in held]
        if len(kept) == len(self.names):
            return self
        if not kept:
            return None
        names = tuple(self.names[place] for place in kept)
        covariance = self.covariance[..., kept, :][..., kept]
        about = (self.shares, self.residual, self.wavelengths, self.source)
        return SkinPrior(self.mean[..., kept], covariance, names, *about)


_LISTED = ", ".join(NUMBERS)
_EXPECTED = '"archive", "archive-contact", {"f_mel": (mean, standard deviation), ...} or a msfit.SkinPrior'
# Of a matrix of correlations: less is rounding.
_LEAST_EIGENVALUE = 1e-12


def _positive(unit: np.ndarray) -> bool:
    """Whether all of the matrices of correlations (n, k, k) are positive definite beyond rounding."""
    try:
        np.linalg.cholesky(unit - _LEAST_EIGENVALUE * np.eye(unit.shape[-1]))
    except np.linalg.LinAlgError:
        return False
    return True


def _numbers(name: str, given: Any) -> np.ndarray:
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"prior: found a {name} that is no array of numbers") from None
