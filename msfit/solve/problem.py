"""The objective with its linear unknowns projected out, for any number of parameters.

    F(x, i_d, i_s) = sum_b w_b (y_b - i_d r_b(x) - i_s)^2 + (v - m)' P (v - m),   v = (x, i_d, i_s)

over a box of x and bounds of i_d and i_s. Shadings are linear unknowns: at given x their minimum has a closed form
(`bounded_pair`), so that a descent needs the parameters x alone (variable projection: Golub & Pereyra 1973). The
Gaussian prior with mean m and precision P is optional; it enters as p + 2 more measurements, whose residuals are those
of R (m - v) with R' R = P, so that the same formulas hold with it and without. All is written for numpy arrays and
torch tensors alike; `Problem.minimise`, which descends, is torch's.

Three regimes of a pixel follow from which shadings are strictly inside their bounds and so free to follow x:
*specular* (both), *diffuse only* (i_s on its bound, 0 by default) and *no diffuse light* (i_d is 0: x is undetermined).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msfit.skin.arrays import NAMESPACES, converted, is_tensor
from msfit.skin.registry import Skin
from msfit.solve.solution import Point, Solution
from msfit.solve.tolerances import TOLERANCE, name

if TYPE_CHECKING:
    from torch import Tensor

#: ((lower, upper) of i_d, (lower, upper) of i_s); equal ends hold one.
ShadingBounds = tuple[tuple[float, float], tuple[float, float]]
NON_NEGATIVE: ShadingBounds = ((0.0, math.inf), (0.0, math.inf))


@dataclass(frozen=True, eq=False)
class Prior:
    """A Gaussian prior on v = (x, i_d, i_s), p + 2 numbers: adds (v - mean)' root' root (v - mean) to the objective.

    The objective is a sum of squared residuals, so `root' root` is the inverse covariance of v times the variance of a
    residual of weight 1. A parameter without prior has a column of zeros.

    Attributes
    ----------
    mean : array (n, p + 2) or (1, p + 2)
    root : array (n, row, p + 2) or (1, row, p + 2)
    own : bool
        Whether each pixel has its own, be there but one pixel.
    """

    mean: Any
    root: Any
    own: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", self.own or max(len(self.mean), len(self.root)) > 1)

    @classmethod
    def from_precision(cls, mean: Any, precision: Any) -> Prior:
        """From the mean (n or 1, p + 2) and a positive semidefinite precision (n or 1, p + 2, p + 2)."""
        xp = NAMESPACES[type(precision)]
        values, vectors = xp.linalg.eigh(precision)
        return cls(mean, xp.sqrt(xp.clip(values, 0.0, None))[:, :, None] * vectors.swapaxes(1, 2))

    def take(self, index: Any) -> Prior:
        """The prior of some of the pixels."""
        mean, root = (part if len(part) == 1 else part[index] for part in (self.mean, self.root))
        return Prior(mean, root, self.own)

    def to(self, dtype: Any, device: Any) -> Prior:
        """The same prior in tensors of a torch type on a device."""
        return Prior(converted(self.mean, dtype, device), converted(self.root, dtype, device), self.own)

    def numpy(self) -> Prior:
        """The same prior in numpy arrays."""
        mean, root = (part.cpu().numpy() if is_tensor(part) else part for part in (self.mean, self.root))
        return Prior(mean, root, self.own)

    def target(self, x: Any) -> Any:
        """What the shadings have to explain of the prior's measurements at x (n or 1, p): R m - R_x x, (n, row)."""
        return (self.root * self.mean[:, None]).sum(2) - (self.root[:, :, : x.shape[1]] * x[:, None]).sum(2)


@dataclass(frozen=True, eq=False)
class Component:
    """One Gaussian of a mixture: `prior`, whose root' root is C^-1, and `constant`, (n,) or (1,), of -2 log density."""

    prior: Prior
    constant: Any

    def take(self, index: Any) -> Component:
        """The component for some of the pixels."""
        constant = self.constant if len(self.constant) == 1 else self.constant[index]
        return Component(self.prior.take(index), constant)

    def to(self, dtype: Any, device: Any) -> Component:
        """The same component in tensors of a torch type on a device."""
        return Component(self.prior.to(dtype, device), converted(self.constant, dtype, device))

    def scaled(self, size: float) -> Component:
        """The same with the root times a number."""
        return Component(Prior(self.prior.mean, self.prior.root * size, self.prior.own), self.constant)


@dataclass(frozen=True, eq=False)
class Problem:
    """The objective of pixels.

    Attributes
    ----------
    skin : Skin
        The model on the pixels' bands, in arrays of their kind; its parameters are x (n, p).
    pixels : array (n, band)
        Reflectance y.
    weights : array (n, band), optional
        w >= 0; None for ones.
    shadings : ShadingBounds
        Bounds of i_d and i_s.
    prior : Prior, optional
        On (x, i_d, i_s).
    """

    skin: Skin
    pixels: Any
    weights: Any = None
    shadings: ShadingBounds = NON_NEGATIVE
    prior: Prior | None = None

    def take(self, index: Any) -> Problem:
        """The problem of some of the pixels."""
        weights = None if self.weights is None else self.weights[index]
        prior = None if self.prior is None else self.prior.take(index)
        return Problem(self.skin, self.pixels[index], weights, self.shadings, prior)

    def evaluate(self, x: Any) -> Point:
        """The projected objective at x (n, p), with Kaufman's (1975) approximation of its Jacobian.

        With e the residual at the best shadings, the projected Jacobian of parameter k is -d_k, where d_k is the slope
        i_d r_k less its parts along what the free shadings multiply. Then, both halved, gradient_k = -d_k . e (exact)
        and Hessian_kl = d_k . d_l (Gauss-Newton).
        """
        xp, at = NAMESPACES[type(x)], self.project(x)
        cost = at.dot(at.residual, at.residual)
        weighted = [at.weighted(slope) for slope in at.slopes]
        gradient = xp.stack([-(slope * at.residual).sum(1) for slope in weighted], 1)
        products: list[list[Any]] = []
        for k, slope in enumerate(weighted):
            products.append([(slope * at.slopes[j]).sum(1) for j in range(k + 1)])
        count = range(len(weighted))
        hessian = xp.stack([xp.stack([products[max(k, j)][min(k, j)] for j in count], 1) for k in count], 1)
        # what rounding of the residuals, which are sums of numbers as large as the pixels, does to the sum of squares
        eps = float(xp.finfo(cost.dtype).eps)
        rounding = 4 * eps * (xp.sqrt(cost * at.energy) + eps * at.energy)
        return Point(cost, gradient, hessian, rounding, x, at.i_d, at.i_s)

    def project(self, x: Any) -> Projection:
        """The best shadings at x (n, p), the residual, and the slopes that no shading can take over."""
        xp = NAMESPACES[type(x)]
        reflectance, derivatives = self.skin.jacobian(x)
        target, diffuse, specular, weights = self._columns(x, reflectance)
        i_d, i_s, centred = _shadings(target, diffuse, specular, weights, self.shadings)
        residual = target - i_d[:, None] * diffuse - i_s[:, None] * specular
        at = Projection(i_d, i_s, residual, [], weights, _dot(target, target, weights))
        free_d, free_s = (
            inside(value, bounds)[:, None] for value, bounds in zip((i_d, i_s), self.shadings, strict=True)
        )
        direction = free_d * xp.where(free_s, centred, diffuse)
        along = direction * _reciprocal(_dot(direction, direction, weights))[:, None]
        share = free_s * (specular / _length(specular, target, weights)[:, None])
        for k, derivative in enumerate(derivatives):
            slope = i_d[:, None] * derivative
            if self.prior is not None:
                rows = self.prior.root[:, :, k]
                slope = xp.concatenate((slope, xp.broadcast_to(rows, (len(slope), rows.shape[1]))), 1)
            slope = slope - _dot(specular, slope, weights)[:, None] * share
            at.slopes.append(slope - _dot(direction, slope, weights)[:, None] * along)
        return at

    def shade(self, reflectance: Any, x: Any = None) -> tuple[Any, Any]:
        """Best shadings (i_d, i_s), each (n,), for reflectance (n, band); `x` (n, p) matters to a prior alone."""
        if self.prior is not None and x is None:
            raise ValueError("x: missing; the prior of the shadings depends on it")
        return _shadings(*self._columns(x, reflectance), self.shadings)[:2]

    def minimise(self, start: Tensor, lower: Tensor, upper: Tensor) -> Solution:
        """Descend to a local minimum inside lower <= x <= upper, tensors (p,), from `start` (n, p)."""
        from msfit.solve.descent import descend

        def evaluate(x: Tensor, index: Tensor) -> Point:
            return (self if index.numel() == len(self.pixels) else self.take(index)).evaluate(x)

        end = descend(evaluate, start, lower, upper, TOLERANCE[name(start.dtype)])
        return Solution(end.x, end.point.i_d, end.point.i_s, end.point.cost, end.converged, end.steps)

    def residual(self, solution: Solution | Point) -> Any:
        """What a solution leaves of the pixels, y - i_d r - i_s, (n, band)."""
        reflectance = self.skin.reflectance(solution.x)
        return self.pixels - solution.i_d[:, None] * reflectance - solution.i_s[:, None]

    def _columns(self, x: Any, reflectance: Any) -> tuple[Any, Any, Any, Any]:
        """What is explained, what i_d and what i_s multiply, and weights: bands, and the prior's measurements."""
        xp, count = NAMESPACES[type(reflectance)], len(self.pixels)
        if self.prior is None:
            return self.pixels, reflectance, xp.ones_like(reflectance[:1, :1]), self.weights
        rows, ones = self.prior.root, xp.ones_like(self.pixels)

        def append(bands: Any, others: Any) -> Any:
            return xp.concatenate((bands, xp.broadcast_to(others, (count, others.shape[1]))), 1)

        return (
            append(self.pixels, self.prior.target(x)),
            append(reflectance, rows[:, :, -2]),
            append(ones, rows[:, :, -1]),
            append(ones if self.weights is None else self.weights, xp.ones_like(rows[:, :, 0])),
        )


@dataclass(eq=False)
class Projection:
    """The objective at one point a pixel, with its shadings projected out.

    i_d, i_s (n,); `residual` and, for each parameter, `slopes` (n, measurement): how the model changes with it beyond
    what the free shadings take over; `weights` (n, measurement) or None; `energy` (n,): what there was to explain.
    Measurements are the bands and, behind them, those of a prior.
    """

    i_d: Any
    i_s: Any
    residual: Any
    slopes: list[Any]
    weights: Any
    energy: Any

    def weighted(self, values: Any) -> Any:
        """Values (n, measurement) times their weights."""
        return values if self.weights is None else self.weights * values

    def dot(self, a: Any, b: Any) -> Any:
        """Weighted inner product (n,)."""
        return _dot(a, b, self.weights)


def shadings(
    reflectance: Any, pixels: Any, weights: Any = None, bounds: ShadingBounds = NON_NEGATIVE
) -> tuple[Any, Any]:
    """Shadings (i_d, i_s), each (n,), that minimise sum_b w_b (y_b - i_d r_b - i_s)^2 within their bounds.

    `reflectance` and `pixels` are (n, band), `weights` too or None for ones.
    """
    return _shadings(pixels, reflectance, NAMESPACES[type(pixels)].ones_like(pixels[:1, :1]), weights, bounds)[:2]


def _dot(a: Any, b: Any, weights: Any) -> Any:
    """Weighted inner product (n,) of (n, measurement); `a` is (1, 1) where it is one number for all of them."""
    product = b * a if a.shape[1] > 1 or b.shape[1] == 1 else b
    return (product if weights is None else weights * product).sum(1)


def _length(specular: Any, like: Any, weights: Any) -> Any:
    """Square (n,) of what i_s multiplies."""
    xp = NAMESPACES[type(like)]
    return _dot(xp.broadcast_to(specular, like.shape), xp.broadcast_to(specular, like.shape), weights)


def _shadings(target: Any, diffuse: Any, specular: Any, weights: Any, bounds: ShadingBounds) -> tuple[Any, Any, Any]:
    """Best shadings (n,), and `diffuse` less its part along `specular`.

    That is taken out first, which keeps the two nearly parallel directions apart in single precision too.
    """
    ss, ds, hs = _length(specular, target, weights), _dot(specular, diffuse, weights), _dot(specular, target, weights)
    centred = diffuse - (ds / ss)[:, None] * specular
    spread, contrast = _dot(centred, centred, weights), _dot(centred, target, weights)
    i_d, i_s, _ = bounded_pair(spread, contrast, ds, ss, hs, bounds)
    return i_d, i_s, centred


def bounded_pair(
    spread: Any, contrast: Any, ds: Any, ss: Any, hs: Any, bounds: ShadingBounds = NON_NEGATIVE
) -> tuple[Any, Any, Any]:
    """Least squares in two unknowns with bounds, in closed form: i_d, i_s, and by how much they lower |y|^2, like `hs`.

    Minimises |y - i_d r - i_s c|^2 from products: with q = r - (r.c / c.c) c, spread = q.q, contrast = q.y, ds = r.c,
    ss = c.c > 0 and hs = c.y.

    Where the free minimum lies outside the bounds in one unknown only, that one lies on the bound it has crossed, and
    the other is least given it; where it does in both, one of them does, and the better of both ways is taken: on a
    bound that is not the crossed one the slope would point inwards, the objective being convex.
    """
    xp = NAMESPACES[type(contrast)]
    tiny = float(xp.finfo(contrast.dtype).tiny)
    free_d = contrast / xp.clip(spread, tiny, None)
    free_s = (hs - free_d * ds) / ss
    d_first, s_second = xp.clip(free_d, *bounds[0]), xp.clip(free_s, *bounds[1])
    s_first = xp.clip((hs - d_first * ds) / ss, *bounds[1])
    dd, hd = spread + ds * ds / ss, contrast + ds * hs / ss
    d_second = xp.clip((hd - s_second * ds) / xp.clip(dd, tiny, None), *bounds[0])

    def decrease(i_d: Any, i_s: Any) -> Any:
        miss = i_s - (hs - i_d * ds) / ss
        return hs * hs / ss + i_d * (2 * contrast - spread * i_d) - ss * miss * miss

    out_d, out_s = free_d != d_first, free_s != s_second
    other, both = out_s & ~out_d, out_s & out_d
    if bool(both.any()):
        other = other | (both & (decrease(d_second, s_second) > decrease(d_first, s_first)))
    i_d, i_s = xp.where(other, d_second, d_first), xp.where(other, s_second, s_first)
    return i_d, i_s, decrease(i_d, i_s)


def inside(value: Any, bounds: tuple[float, float]) -> Any:
    """Whether a shading is strictly inside its bounds: it then follows the parameters."""
    return (value > bounds[0]) & (value < bounds[1])


def without(spectra: Any, others: list[Any], dot: Callable[[Any, Any], Any]) -> Any:
    """Spectra (n, measurement) less their parts along others, which are orthogonal to each other or zero."""
    for other in others:
        spectra = spectra - (dot(other, spectra) * _reciprocal(dot(other, other)))[:, None] * other
    return spectra


def _reciprocal(length: Any) -> Any:
    """1 / length, 0 where it is 0."""
    xp = NAMESPACES[type(length)]
    return xp.where(length > 0, 1 / xp.where(length > 0, length, xp.ones_like(length)), xp.zeros_like(length))
