"""Independent minimisers of the spatial fit's objective: cvxpy where it is convex, L-BFGS where it is not.

They share no code with msfit.solve: gradients, total variation and the model (`ReferenceSkin`) are written once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks.reference_skin import ReferenceSkin

# Widths of the smoothing of total variation, one after the other: sqrt(g^2 + w^2) for |g|.
SMOOTHING = (1e-3, 1e-5, 1e-7)
_WIDTHS = np.array([0.43, 0.07])


def variation(image: np.ndarray, inside: np.ndarray, width: float = 0.0) -> float:
    """Isotropic total variation of (y, x) between pixels that are inside."""
    right, down = _differences(image, inside)
    return float(np.sqrt(right**2 + down**2 + width**2).sum())


def denoised(image: np.ndarray, strength: float, inside: np.ndarray) -> np.ndarray:
    """The z that minimises |z - image|^2 / 2 + strength TV(z), by cvxpy."""
    import cvxpy

    z = cvxpy.Variable(image.shape)
    observed = inside.astype(float)
    error = cvxpy.sum_squares(cvxpy.multiply(observed, z - image))
    _solve(0.5 * error + strength * _cvxpy_variation(z, inside))
    return np.where(inside, z.value, image)


def shaded(
    pixels: np.ndarray, reflectance: np.ndarray, sparsity: float, tv_shading: float, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best (i_d, i_s) for given reflectances (y, x, band) of skin, by cvxpy."""
    import cvxpy

    i_d, i_s = (cvxpy.Variable(inside.shape, nonneg=True) for _ in range(2))
    # |y - i_d r - i_s|^2 and |q^T y - q^T [r 1] s|^2 differ by what no shading changes: two rows a pixel, not a band
    q, triangle = np.linalg.qr(np.stack((reflectance, np.ones_like(reflectance)), -1))
    short = (np.swapaxes(q, -1, -2) @ pixels[..., None])[..., 0]
    objective: Any = sparsity * cvxpy.sum(cvxpy.multiply(inside.astype(float), i_s))
    for row in range(2):
        left = cvxpy.multiply(triangle[..., row, 0], i_d) + cvxpy.multiply(triangle[..., row, 1], i_s)
        objective += cvxpy.sum_squares(cvxpy.multiply(inside.astype(float), left - short[..., row]))
    _solve(objective + tv_shading * (_cvxpy_variation(i_d, inside) + _cvxpy_variation(i_s, inside)))
    return i_d.value, i_s.value


class FullProblem:
    """The objective over all four maps of a picture with every pixel there, pigments over the width of their range."""

    def __init__(
        self, pixels: np.ndarray, wavelengths: np.ndarray, model: str, tv: float, sparsity: float, tv_shading: float
    ) -> None:
        self.pixels, self.shape = pixels, pixels.shape[:2]
        self.skin: Callable[[Any, Any], np.ndarray] = ReferenceSkin(model, wavelengths)
        self.prices, self.sparsity = (tv, tv, tv_shading, tv_shading), sparsity
        self.inside = np.ones(self.shape, dtype=bool)

    def objective(self, maps: np.ndarray) -> float:
        """At maps (4, y, x): scaled pigments, i_d, i_s."""
        return self._smooth_objective(maps, 0.0)[0]

    def random_start(self, rng: np.random.Generator) -> np.ndarray:
        """Maps (4, y, x), each pixel anywhere in a plausible box."""
        low, high = np.array([[0.0, 1.0], [0.0, 1.0], [0.2, 1.2], [0.0, 0.3]]).T
        return low[:, None, None] + (high - low)[:, None, None] * rng.random((4, *self.shape))

    def descend(self, start: np.ndarray) -> np.ndarray:
        """Where scipy's L-BFGS-B ends from a start, on total variation that is smoothed less and less."""
        box = [(0.0, 1.0)] * (2 * start[0].size) + [(0.0, None)] * (2 * start[0].size)
        maps = start.ravel()
        for width in SMOOTHING:

            def cost(values: np.ndarray, width: float = width) -> tuple[float, np.ndarray]:
                value, gradient = self._smooth_objective(values.reshape(start.shape), width)
                return value, gradient.ravel()

            options = {"maxiter": 3000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9}
            maps = minimize(cost, maps, jac=True, method="L-BFGS-B", bounds=box, options=options).x
        return maps.reshape(start.shape)

    def _smooth_objective(self, maps: np.ndarray, width: float) -> tuple[float, np.ndarray]:
        pigments, (i_d, i_s) = maps[:2] * _WIDTHS[:, None, None], maps[2:]
        reflectance = self.skin(*pigments)
        residual = i_d[..., None] * reflectance + i_s[..., None] - self.pixels
        gradient = np.empty_like(maps)
        for k, size in enumerate(_WIDTHS):
            step = 1e-5 * size  # central differences; at a bound inwards by twice a step less than they are wide
            low, high = (np.clip(pigments[k] + s * step, 0, size) for s in (-1, 1))
            ends = [self.skin(*(np.where(np.arange(2)[:, None, None] == k, end, pigments))) for end in (low, high)]
            slope = (ends[1] - ends[0]) / ((high - low) / size)[..., None]
            gradient[k] = 2 * i_d * (residual * slope).sum(-1)
        gradient[2] = 2 * (residual * reflectance).sum(-1)
        gradient[3] = 2 * residual.sum(-1) + self.sparsity
        value = (residual**2).sum() + self.sparsity * i_s.sum()
        for k, penalty in enumerate(self.prices):
            right, down = _differences(maps[k], self.inside)
            length = np.sqrt(right**2 + down**2 + width**2)
            value += penalty * length.sum()
            if width > 0:
                right, down = penalty * right / length, penalty * down / length
                gradient[k] -= right + down
                gradient[k][:, 1:] += right[:, :-1]
                gradient[k][1:] += down[:-1]
        return float(value), gradient


def _differences(image: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    right, down = np.zeros_like(image), np.zeros_like(image)
    right[:, :-1] = np.diff(image, axis=1) * (inside[:, 1:] & inside[:, :-1])
    down[:-1] = np.diff(image, axis=0) * (inside[1:] & inside[:-1])
    return right, down


def _cvxpy_variation(image: Any, inside: np.ndarray) -> Any:
    import cvxpy

    rows, columns = inside.shape
    across = (inside[:, 1:] & inside[:, :-1]).astype(float)
    along = (inside[1:] & inside[:-1]).astype(float)
    right = cvxpy.hstack([cvxpy.multiply(across, image[:, 1:] - image[:, :-1]), np.zeros((rows, 1))])
    down = cvxpy.vstack([cvxpy.multiply(along, image[1:] - image[:-1]), np.zeros((1, columns))])
    return cvxpy.sum(cvxpy.norm(cvxpy.vstack([cvxpy.vec(right, order="C"), cvxpy.vec(down, order="C")]), 2, axis=0))


def _solve(objective: Any) -> None:
    import cvxpy

    cvxpy.Problem(cvxpy.Minimize(objective)).solve(solver=cvxpy.CLARABEL)
