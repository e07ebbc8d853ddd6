"""The prior of a fit, settled: which numbers it is about, on which bands, and how much it says beside the noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.data.prior import NUMBERS, SkinPrior
from msfit.errors import InputError
from msfit.fitting.criterion import Criterion
from msfit.skin.prior import archive_prior
from msfit.skin.registry import SkinModel
from msfit.solve.problem import Component, Prior, ShadingBounds


@dataclass(frozen=True, eq=False)
class PixelPrior:
    """A prior of pixels in the numbers that are free, and the covariance of what is measured about the model.

    Attributes
    ----------
    skin : SkinPrior
        Of a map, in the shape of the picture, or (n, ...) of some rows of it.
    noise : float64 array (band,) or (band, band)
        Variances of the bands, or their covariance.
    """

    skin: SkinPrior
    noise: np.ndarray

    @classmethod
    def resolve(
        cls,
        given: Any,
        model: SkinModel,
        box: Mapping[str, tuple[float, float]],
        shadings: ShadingBounds,
        cube: Cube,
    ) -> SkinPrior:
        """The density of the numbers that are free in a fit of a cube.

        Raises
        ------
        InputError
            No prior of this name or for this model; maps that have not the shape of the picture; a prior of nothing
            that is free.
        """
        contact = given == "archive-contact"
        prior = archive_prior(model.name, contact=contact) if isinstance(given, str) else SkinPrior.of(given)
        ends = {**box, **dict(zip(("i_d", "i_s"), shadings, strict=True))}
        free = prior.without([name for name in NUMBERS if ends[name][0] == ends[name][1]])
        if free is None:
            raise InputError(f"prior: is of {', '.join(prior.names)}, and nothing of that is free; leave it out")
        if free.pixels and free.pixels != cube.shape:
            raise InputError(
                f"prior: found maps of {' x '.join(map(str, free.pixels))} pixels, the picture has"
                f" {' x '.join(map(str, cube.shape))}; expected the same"
            )
        return free

    @classmethod
    def over(cls, skin: SkinPrior, cube: Cube, criterion: Criterion) -> PixelPrior:
        """For a cube on the bands that are fitted, with noise as the criterion has it."""
        assert criterion.noise is not None
        noise = criterion.noise**2
        if skin.residual is not None:
            seen = _seen(cube, np.asarray(skin.wavelengths))
            noise = np.diag(noise) + seen @ skin.residual @ seen.T
        return cls(skin, noise)

    def rows(self, rows: slice) -> PixelPrior:
        """The prior of some rows of the picture, pixel by pixel."""
        if not self.skin.pixels:
            return self
        return self.of(*self._flat(rows))

    def known(self) -> np.ndarray | bool:
        """Of `rows`, which pixels (n,) have a prior."""
        finite = np.isfinite(self.skin.mean).all(-1) & np.isfinite(self.skin.covariance).all((-1, -2))
        return finite if self.skin.pixels else True

    def take(self, index: np.ndarray) -> PixelPrior:
        """The prior of some of the pixels, counted row by row."""
        if not self.skin.pixels:
            return self
        return self.of(*(part[index] for part in self._flat(slice(None))))

    def _flat(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        k = len(self.skin.names)
        return self.skin.mean[rows].reshape(-1, k), self.skin.covariance[rows].reshape(-1, k, k)

    def of(self, mean: np.ndarray, covariance: np.ndarray) -> PixelPrior:
        """The same of other pixels."""
        part = object.__new__(SkinPrior)  # checked as a whole already; parts may be empty or unknown
        for name, value in {**vars(self.skin), "mean": mean, "covariance": covariance}.items():
            object.__setattr__(part, name, value)
        return replace(self, skin=part)

    def components(self) -> list[Component]:
        """What the solver takes, in numpy and in numbers (f_mel, f_blood, i_d, i_s)."""
        from msfit.solve.kernels.numba_posterior import roots

        skin = self.skin
        mean, covariance = (
            (part[:, None] for part in (skin.mean, skin.covariance))
            if skin.shares is not None
            else (part.reshape(1, -1, *part.shape[skin.mean.ndim - 1 :]) for part in (skin.mean, skin.covariance))
        )
        shares = np.ones(1) if skin.shares is None else skin.shares
        places = [NUMBERS.index(name) for name in skin.names]
        parts = []
        for share, middle, spread in zip(shares, mean, covariance, strict=True):
            lower, log_det = roots(np.ascontiguousarray(spread, np.float64))
            centre = np.zeros((len(middle), len(NUMBERS)))
            root = np.zeros((len(middle), len(places), len(NUMBERS)))
            centre[:, places], root[:, :, places] = middle, lower
            constant = log_det - 2 * np.log(share)
            parts.append(Component(Prior(centre, root, bool(skin.pixels)), constant))
        return parts

    def precision(self) -> np.ndarray:
        """Inverse covariance (4, 4) of the numbers as far as a prior is of them: that of a pixel in the middle."""
        k, places = len(self.skin.names), [NUMBERS.index(name) for name in self.skin.names]
        each = self.skin.covariance.reshape(-1, k, k)
        each = each[np.isfinite(each).all((1, 2))]
        found = np.zeros((len(NUMBERS), len(NUMBERS)))
        found[np.ix_(places, places)] = np.linalg.inv(each[len(each) // 2])
        return found

    def variances(self) -> np.ndarray:
        """Variance (n, 4) or (1, 4) of each number, infinite of what the prior is not about."""
        own = np.atleast_2d(self.skin.variance)
        found = np.full((len(own), len(NUMBERS)), np.inf)
        found[:, [NUMBERS.index(name) for name in self.skin.names]] = own
        return found

    def described(self, given: Any) -> str:
        """In words, for the attributes of a result."""
        if isinstance(given, str):
            return given
        if self.skin.source:
            return self.skin.source
        if self.skin.pixels or self.skin.shares is not None:
            kind = "maps" if self.skin.pixels else f"{len(self.skin.mean)} Gaussians"
            return f"{kind} of {', '.join(self.skin.names)}"
        each = zip(self.skin.names, self.skin.mean, np.sqrt(self.skin.variance), strict=True)
        return ", ".join(f"{name}={mean:g}:{deviation:g}" for name, mean, deviation in each)


def _seen(cube: Cube, nm: np.ndarray) -> np.ndarray:
    """Weights (band, nm) by which the bands of a cube see a spectrum on `nm`, linear between these."""
    identity = np.eye(len(nm))
    if cube.channels is None:
        return np.stack([np.interp(cube.wavelengths, nm, row) for row in identity], 1)
    fine, weights, _ = cube.channels.shares(nm[0], nm[-1])
    return weights @ np.stack([np.interp(fine, nm, row) for row in identity], 1)
