"""How far an estimate is from the truth: RMSE, RMSE after the best scale, spectral angle, colour difference.

All take numpy arrays or torch tensors and answer in kind (a float, or a tensor that gradients flow through). Samples
that are masked, or not finite in either array, are left out of value and gradient alike; `compared` says which remain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.colour.difference import ciede2000
from msfit.colour.transforms import linear_srgb_to_xyz, xyz_to_lab
from msfit.errors import InputError


def compared(estimate: Any, truth: Any, mask: Any = None) -> Any:
    """The samples that a comparison rests on: not masked, and finite in both.

    Parameters
    ----------
    estimate, truth : array or tensor (...)
        Of the same shape.
    mask : bool array (...), optional
        True where a sample is to be used. Its shape is that of the arrays, or lacks their last axes: a mask (y, x) of
        pictures (y, x, 3).

    Returns
    -------
    bool array or tensor (...)
        Count it, and report the count beside the figure: a method that leaves hard pixels NaN is otherwise flattered.

    Raises
    ------
    InputError
        Shapes that do not match.
    """
    first, second, torch_in = _tensors(estimate, truth)
    return _answer(_compared(first, second, mask), torch_in)


def rmse(estimate: Any, truth: Any, mask: Any = None) -> Any:
    """Root mean squared difference, sqrt(mean((estimate - truth)^2)), over the samples of `compared`.

    Parameters
    ----------
    estimate, truth : array or tensor (...)
        Of the same shape and unit.
    mask : bool array (...), optional
        As of `compared`.

    Returns
    -------
    float, or tensor ()
        In the unit of the arrays.

    Raises
    ------
    InputError
        Shapes that do not match; no sample is left.

    Examples
    --------
    >>> round(rmse(np.array([0.0, 2.0, np.nan]), np.array([0.0, 0.0, 1.0])), 6)
    1.414214
    """
    first, second, torch_in = _tensors(estimate, truth)
    first, second = _select(first, second, mask)
    return _answer(_root_mean_square(first - second), torch_in)


def best_scale(estimate: Any, truth: Any, mask: Any = None) -> Any:
    """The factor s that minimises the RMSE between s estimate and truth: <estimate, truth> / <estimate, estimate>.

    Parameters, errors : as of `rmse`.

    Returns
    -------
    float, or tensor ()
        0 for an estimate that is zero everywhere.
    """
    first, second, torch_in = _tensors(estimate, truth)
    return _answer(_best_scale(*_select(first, second, mask)), torch_in)


def scale_aligned_rmse(estimate: Any, truth: Any, mask: Any = None) -> Any:
    """RMSE after the estimate has been multiplied by its `best_scale` (regression without intercept).

    For maps that are known up to a factor only, such as shading. Parameters, answer and errors as of `rmse`.
    """
    first, second, torch_in = _tensors(estimate, truth)
    first, second = _select(first, second, mask)
    return _answer(_root_mean_square(_best_scale(first, second) * first - second), torch_in)


def spectral_angle(estimate: Any, truth: Any) -> Any:
    """Angle between spectra, blind to their brightness, on each pixel.

    2 atan2(|u - v|, |u + v|) of the normalised spectra: the arc cosine of their product, but exact for small angles.

    Parameters
    ----------
    estimate, truth : array or tensor (..., band)
        Of the same shape. A band that is not finite in either is left out of that pixel.

    Returns
    -------
    array or tensor (...)
        [rad], 0..pi. NaN where a spectrum is zero or has no finite band. The gradient is zero for equal directions.

    Raises
    ------
    InputError
        Shapes that do not match.

    References
    ----------
    F. A. Kruse et al., "The spectral image processing system (SIPS)", Remote Sens. Environ. 44, 1993; the form by
    W. Kahan, "How futile are mindless assessments of roundoff", 2006.
    """
    first, second, torch_in = _tensors(estimate, truth)
    valid = _compared(first, second, None)
    u, v = (torch.where(valid, spectrum, 0) for spectrum in (first, second))
    lengths = _safe_norm(u) * _safe_norm(v)
    defined = lengths > 0
    u, v = (torch.where(defined[..., None], spectrum, 1) for spectrum in (u, v))
    u, v = (spectrum / spectrum.norm(dim=-1, keepdim=True) for spectrum in (u, v))
    angle = 2 * torch.atan2(_safe_norm(u - v), _safe_norm(u + v))
    return _answer(torch.where(defined, angle, torch.nan), torch_in)


def sam(estimate: Any, truth: Any, mask: Any = None) -> Any:
    """Mean `spectral_angle` [rad] over the pixels where it is defined.

    Parameters
    ----------
    estimate, truth : array or tensor (..., band)
    mask : bool array (...), optional
        True where a pixel is to be used.

    Returns
    -------
    float, or tensor ()

    Raises
    ------
    InputError
        Shapes that do not match; no pixel is left.
    """
    first, second, torch_in = _tensors(estimate, truth)
    angles = spectral_angle(first, second)
    return _answer(_select(angles, angles, mask)[0].mean(), torch_in)


def colour_difference(estimate: Any, truth: Any) -> Any:
    """CIEDE2000 between linear sRGB pictures, on each pixel.

    Parameters
    ----------
    estimate, truth : array or tensor (..., 3)
        Linear sRGB, white = 1, seen under D65.

    Returns
    -------
    array or tensor (...)
        About 1 is just noticeable. NaN where either picture is.

    Raises
    ------
    InputError
        Shapes that do not match, or not three channels.

    References
    ----------
    CIE 142:2001; see `msfit.colour.difference.ciede2000`.
    """
    first, second, torch_in = _tensors(estimate, truth)
    if first.shape[-1] != 3:
        raise InputError(f"estimate: found shape {tuple(first.shape)}; expected linear RGB on the last axis")
    valid = _compared(first, second, None).all(-1)
    first, second = (torch.where(valid[..., None], picture, 0.5) for picture in (first, second))
    difference = ciede2000(*(xyz_to_lab(linear_srgb_to_xyz(picture)) for picture in (first, second)))
    return _answer(torch.where(valid, difference, torch.nan), torch_in)


def _tensors(estimate: Any, truth: Any) -> tuple[Tensor, Tensor, bool]:
    """Both as tensors of one floating-point type and device (numpy's: float64), and whether tensors came in."""
    given = [array for array in (estimate, truth) if isinstance(array, Tensor)]
    tensor_type = given[0] if given else torch.empty(0, dtype=torch.float64)
    if len(given) == 2:
        tensor_type = tensor_type.to(torch.promote_types(tensor_type.dtype, given[1].dtype))
    tensor_type = tensor_type if tensor_type.is_floating_point() else tensor_type.double()
    first, second = (
        array.to(tensor_type)
        if isinstance(array, Tensor)
        else torch.tensor(np.asarray(array, dtype=np.float64)).to(tensor_type)
        for array in (estimate, truth)
    )
    if first.shape != second.shape:
        raise InputError(f"estimate: shape {tuple(first.shape)}; expected that of truth, {tuple(second.shape)}")
    return first, second, bool(given)


def _compared(first: Tensor, second: Tensor, mask: Any) -> Tensor:
    valid = first.isfinite() & second.isfinite()
    if mask is None:
        return valid
    mask = mask.to(first.device) if isinstance(mask, Tensor) else torch.tensor(np.asarray(mask), device=first.device)
    if mask.shape != first.shape[: mask.ndim]:
        raise InputError(
            f"mask: shape {tuple(mask.shape)}; expected {tuple(first.shape)}, or that without its last axes"
        )
    return valid & mask.bool().reshape(*mask.shape, *[1] * (first.ndim - mask.ndim))


def _select(first: Tensor, second: Tensor, mask: Any) -> tuple[Tensor, Tensor]:
    valid = _compared(first, second, mask)
    if not bool(valid.any()):
        raise InputError("mask: no finite sample is left to compare; expected at least one")
    return first[valid], second[valid]


def _root_mean_square(difference: Tensor) -> Tensor:
    return _safe_norm(difference) / difference.numel() ** 0.5


def _best_scale(first: Tensor, second: Tensor) -> Tensor:
    power = (first * first).sum()
    return (first * second).sum() / torch.where(power > 0, power, 1)


def _safe_norm(vectors: Tensor) -> Tensor:
    """Norm over the last axis, whose gradient at zero is zero."""
    squared = (vectors * vectors).sum(-1)
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1).sqrt(), 0)


def _answer(value: Tensor, torch_in: bool) -> Any:
    if torch_in:
        return value
    return value.item() if value.ndim == 0 else value.numpy()
