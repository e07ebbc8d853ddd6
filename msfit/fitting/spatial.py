"""`msfit.fit_spatial`: the fit of a whole picture whose neighbouring pixels are known to be alike."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from msfit.data.cube import Cube
from msfit.data.result import MAPS, FitResult
from msfit.errors import InputError
from msfit.fitting.inputs import input_cube
from msfit.fitting.maps import statuses
from msfit.fitting.options import PIGMENTS, FitOptions, SpatialKeywords, door
from msfit.fitting.plan import prepare
from msfit.fitting.rows import assemble, fit_all
from msfit.skin.registry import SkinModel
from msfit.solve.problem import NON_NEGATIVE
from msfit.solve.spatial.pixels import Pixels
from msfit.solve.spatial.proximal_newton import Picture, Smoothed, smooth


@door
def fit_spatial(cube: Cube | Any, wavelengths: Any = None, **options: Unpack[SpatialKeywords]) -> FitResult:
    """Fit a picture with spatial priors: pigments, and if wanted shading, that vary little, and sparse gloss.

    Minimises over all fitted pixels p together, from the global minimum of each pixel alone,

        sum_p sum_b w_pb (y_pb - i_d r_b(f_mel, f_blood) - i_s)^2 + sparsity sum_p i_s
        + tv (TV(f_mel / s_mel) + TV(f_blood / s_blood)) + tv_shading (TV(i_d) + TV(i_s))

    over the bounds of the pigments and i_d, i_s >= 0. s_mel and s_blood are the widths of the model's `wide` bounds,
    0.43 and 0.12 for the default. TV(x) = sum_p sqrt((x_right - x_p)^2 + (x_below - x_p)^2) is the isotropic total
    variation (Rudin, Osher & Fatemi 1992), with differences between fitted pixels only.

    Parameters
    ----------
    cube : Cube, array (y, x, band), xarray.DataArray, or path
        A picture. A plain array is reflectance [1] and needs `wavelengths`.
    wavelengths : array (band,), optional
        [nm]; only with an array, or an xarray object that has none.
    tv : float, optional
        Weight of the pigments' total variation, >= 0. About the noise of a band [reflectance] is a start: twice that
        smooths more, 0 leaves the pigments of a pixel to itself. Default: 0.01, or 0 beside another prior.
    sparsity : float
        Weight of specular shading (an L1 norm), >= 0: pulls i_s down by sparsity / (2 bands) or more, to exactly 0
        where gloss explains little.
    tv_shading : float
        Weight of the shadings' total variation, >= 0.
    model, bounds, bands, mask, device, dtype, loading
        As in `msfit.fit`. The computation itself is in float64; `dtype` is that of the maps and of the first fit.
    iterations : int
        At most; each takes from a twentieth of a second to two seconds for 10,000 pixels, the last ones longest.
    tolerance : float
        Settled when less than this share of the objective is left to gain, by the dual of the convex problem that
        takes the objective's place in an iteration.
    progress : callable (done, total), optional
        Called with numbers of iterations.

    Returns
    -------
    FitResult
        As `msfit.fit` returns. `attrs` hold tv, sparsity, tv_shading, `iterations`, `settled` and `objective`, the list
        of its values at the start and after each iteration: it never rises. Where the iteration has not settled every
        pixel has the status `NOT_CONVERGED`.

    Raises
    ------
    InputError
        A price that is negative or not finite, all three 0, spectra instead of a picture, or what `msfit.fit` refuses.

    Notes
    -----
    Proximal Newton steps (`msfit.solve.spatial.proximal_newton`): each pixel's cost is replaced by a quadratic; what is
    left, quadratics under total variation, is convex and solved by its dual. For given pigments the minimum is found;
    with pigments free a stationary point below the start. The whole picture is held in memory: 8 bytes a pixel and
    band, and 0.7 kilobytes a pixel beside, or 2.7 where the shadings' variation has a price.

    References
    ----------
    L. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992.
    J. D. Lee, Y. Sun, M. A. Saunders, "Proximal Newton-type methods for minimizing composite functions", SIAM J. Optim.
    24, 2014.
    A. Chambolle, "An algorithm for total variation minimization and applications", J. Math. Imaging Vis. 20, 2004.
    A. Beck, M. Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising and deblurring
    problems", IEEE Trans. Image Process. 18, 2009.
    T. Pock, A. Chambolle, "Diagonal preconditioning for first order primal-dual algorithms in convex optimization",
    ICCV 2011.
    B. O'Donoghue, E. Candes, "Adaptive restart for accelerated gradient schemes", Found. Comput. Math. 15, 2015.

    Examples
    --------
    >>> import numpy as np, msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> skin = 0.8 * msfit.reflectance(np.full((8, 8), 0.1), 0.03, bands) + 0.04
    >>> noisy = skin + 0.01 * np.random.default_rng(0).standard_normal(skin.shape)
    >>> maps = msfit.fit_spatial(noisy, bands, tv=0.05)
    >>> alone = msfit.fit(noisy, bands)
    >>> bool(maps.f_mel.std() < alone.f_mel.std() / 5)
    True
    """
    began = time.perf_counter()
    chosen = FitOptions.of("fit_spatial", options)
    weights = chosen.spatial_weights
    if not any(weights.values()):
        raise InputError(f"{', '.join(weights)}: all are 0; expected one above, or use msfit.fit, whose fit that is")
    if chosen.shadings != NON_NEGATIVE:
        raise InputError("bounds: i_d and i_s have no bounds where pixels are joined; leave them out, or use msfit.fit")
    source = input_cube(cube, wavelengths, chosen)
    if len(source.shape) != 2:
        raise InputError(f"cube: found {source.shape[0]} spectra; expected a picture (y, x, band), whose pixels touch")
    prepared = prepare(source, chosen)
    alone = assemble(prepared, fit_all(prepared, None), {})
    picture = _picture(alone, prepared.model, weights, torch.device(prepared.worker.device))
    found = smooth(
        picture,
        _unknowns(alone, picture.pixels.scale),
        iterations=chosen.iterations,
        tolerance=chosen.tolerance,
        progress=chosen.progress,
    )
    return _result(alone, picture, found, {**weights, "seconds": time.perf_counter() - began})


def _picture(alone: FitResult, model: SkinModel, prices: dict[str, float], device: torch.device) -> Picture:
    """The problem in numbers: the pixels that the first fit has not masked, in float64."""
    assert alone.cube is not None
    reflectance, usable = alone.cube.rows(slice(None))
    reflectance, usable = reflectance[alone.fitted], usable[alone.fitted]

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    widths = {parameter.name: parameter.wide[1] - parameter.wide[0] for parameter in model.parameters}
    scale = tensor([widths[name] for name in PIGMENTS])
    low, high = (tensor([alone.bounds[name][end] for name in PIGMENTS]) / scale for end in range(2))
    pixels = Pixels(
        skin=model.at(alone.wavelengths, torch.float64, device),
        scale=scale,
        values=tensor(np.where(usable, reflectance, 0)),
        weights=None if usable.all() else tensor(usable),
        price=float(prices["sparsity"]),
    )
    return Picture(
        inside=torch.as_tensor(alone.fitted, device=device),
        pixels=pixels,
        strength=tensor([prices["tv"]] * 2 + [prices["tv_shading"]] * 2),
        lower=torch.cat((low, low.new_zeros(2))),
        upper=torch.cat((high, high.new_full((2,), torch.inf))),
    )


def _unknowns(alone: FitResult, scale: Tensor) -> Tensor:
    """Where the iteration starts, (n, 4). Pigments that a pixel alone leaves open are the picture's median."""
    columns = []
    for name in (*PIGMENTS, "i_d", "i_s"):
        values = getattr(alone, name)[alone.fitted].astype(np.float64)
        known = values[~np.isnan(values)]
        middle = np.median(known) if known.size else np.mean(alone.bounds[name])
        columns.append(np.where(np.isnan(values), middle, values))
    unknowns = torch.as_tensor(np.stack(columns, 1), device=scale.device)
    return torch.cat((unknowns[:, :2] / scale, unknowns[:, 2:]), 1)


def _result(alone: FitResult, picture: Picture, found: Smoothed, attrs: dict[str, Any]) -> FitResult:
    pixels, scaled, (i_d, i_s) = picture.pixels, found.unknowns[:, :2], found.unknowns[:, 2:].unbind(1)
    lower, upper = (scaled.new_tensor([alone.bounds[name][end] for name in PIGMENTS]) for end in range(2))
    # scaling back and forth must not move a pigment off its bound
    fractions = torch.where(scaled <= picture.lower[:2], lower, (scaled * pixels.scale).clamp(lower, upper))
    fractions = torch.where(scaled >= picture.upper[:2], upper, fractions)
    status = alone.status.copy()
    ended = torch.full_like(i_d, found.converged, dtype=torch.bool)
    status[alone.fitted] = statuses(*(a.cpu().numpy() for a in (fractions.T, i_d, ended, lower, upper)))
    bands = pixels.values.shape[1] if pixels.weights is None else pixels.weights.sum(1)
    squares = (found.costs - pixels.price * i_s).clamp_min(0)
    unlit = (i_d <= 0).unsqueeze(1)
    values = torch.cat(
        (torch.where(unlit, torch.nan, fractions), torch.stack((i_d, i_s, (squares / bands).sqrt()), 1)), 1
    )
    maps = {}
    for name, column in zip(MAPS, values.cpu().numpy().T, strict=True):
        maps[name] = getattr(alone, name).copy()
        maps[name][alone.fitted] = column
    history = {"iterations": len(found.history) - 1, "settled": found.converged, "objective": found.history}
    return replace(alone, **maps, status=status, attrs={**alone.attrs, **attrs, **history})
