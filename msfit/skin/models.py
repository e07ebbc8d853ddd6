"""Skin models by name: reflectance, and models of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from msfit.errors import InputError
from msfit.skin.autograd import AutogradSkin
from msfit.skin.calibrated import MSFIT_ISSA_2025
from msfit.skin.published import ALOTAIBI_SMITH_2019
from msfit.skin.registry import BLOOD, MELANIN, Parameter, Skin, SkinModel, add_model, get_model, model_names

# What the literature's figures are stated in; and what is fitted unless asked otherwise: the model that comes closest
# to measured skin of people it was not calibrated on (docs/skin-model.md).
REFERENCE_MODEL = ALOTAIBI_SMITH_2019.name
DEFAULT_MODEL = MSFIT_ISSA_2025.name

__all__ = [
    "DEFAULT_MODEL",
    "MSFIT_ISSA_2025",
    "REFERENCE_MODEL",
    "Parameter",
    "Skin",
    "SkinModel",
    "get_model",
    "model_names",
    "reflectance",
    "register_model",
]


@overload
def reflectance(f_mel: Tensor, f_blood: Any, wavelengths: Any, model: str = ...) -> Tensor: ...
@overload
def reflectance(f_mel: Any, f_blood: Any, wavelengths: Any, model: str = ...) -> Any: ...
def reflectance(f_mel: Any, f_blood: Any, wavelengths: Any, model: str = REFERENCE_MODEL) -> Any:
    """Diffuse reflectance of skin.

    Parameters
    ----------
    f_mel : array (...)
        Melanosome volume fraction of the epidermis [1], 0 to 1 (plausibly 0.013-0.43).
    f_blood : array (...)
        Blood volume fraction of the dermis [1], 0 to 1 (plausibly 0.02-0.07). Broadcast with f_mel.
    wavelengths : array (band,)
        [nm], inside the model's range.
    model : str
        A name from ``msfit models``. The reference model unless said, whatever `fit` uses unless said.

    Returns
    -------
    array (..., band)
        Reflectance [1], NaN where a fraction is, or where the model does not hold. Where f_mel or f_blood is a tensor:
        a tensor of its type and on its device, differentiable; else a numpy array, float32 if both fractions are,
        float64 otherwise.

    Raises
    ------
    InputError
        Unknown model, wavelengths outside its range, fractions outside [0, 1].

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, eq 12.

    Examples
    --------
    >>> reflectance(0.1, 0.03, [450.0, 550.0, 650.0]).round(4)
    array([0.0019, 0.0179, 0.4038])
    """
    torch_in = isinstance(f_mel, Tensor) or isinstance(f_blood, Tensor)
    if torch_in:
        like = f_mel if isinstance(f_mel, Tensor) else f_blood
        dtype = like.dtype if like.is_floating_point() else torch.float64
        fractions = [torch.as_tensor(f, dtype=dtype, device=like.device) for f in (f_mel, f_blood)]
    else:
        arrays = [_numbers(name, f) for name, f in (("f_mel", f_mel), ("f_blood", f_blood))]
        single = all(a.dtype == np.float32 for a in arrays)
        dtype = torch.float32 if single else torch.float64
        fractions = [torch.from_numpy(np.array(a, dtype=np.float32 if single else np.float64)) for a in arrays]
    for name, fraction in zip(("f_mel", "f_blood"), fractions, strict=True):
        if bool(((fraction < 0) | (fraction > 1)).any()):
            raise InputError(f"{name}: found values outside 0-1; expected volume fractions: divide percent by 100")
    if isinstance(wavelengths, Tensor):
        wavelengths = wavelengths.detach().cpu().numpy()
    skin = get_model(model).at(wavelengths, dtype, fractions[0].device)
    try:
        together = torch.stack(torch.broadcast_tensors(*fractions), dim=-1)
    except RuntimeError:
        shapes = " and ".join(str(tuple(f.shape)) for f in fractions)
        raise InputError(f"f_mel, f_blood: found shapes {shapes}; expected shapes that broadcast") from None
    result = skin.reflectance(together)
    return result if torch_in else result.numpy()


def _numbers(name: str, values: Any) -> np.ndarray:
    """A real array, what is masked in it NaN."""
    found = values if isinstance(values, np.ndarray) else np.asarray(values)
    if found.dtype.kind not in "uif":
        raise InputError(f"{name}: found {found.dtype}; expected volume fractions, real numbers in 0-1")
    return np.ma.filled(found.astype(np.float64), np.nan) if np.ma.isMaskedArray(found) else found


def register_model(
    name: str,
    reflectance: Callable[[Tensor, Tensor, Tensor], Tensor],
    *,
    wavelength_range: tuple[float, float],
    parameters: Sequence[Parameter] = (MELANIN, BLOOD),
    summary: str = "",
    source: str = "",
) -> SkinModel:
    """Register a skin model of your own: one function, derivatives by automatic differentiation.

    Parameters
    ----------
    name : str
        How `fit` and `reflectance` will know it.
    reflectance : callable (f_mel, f_blood, wavelengths) -> tensor
        f_mel and f_blood are tensors (..., 1), wavelengths is (band,) [nm] in their type and place; returns reflectance
        (..., band), written in differentiable torch operations that treat every pixel on its own.
    wavelength_range : (float, float)
        Where the model holds [nm].
    parameters : sequence of Parameter
        f_mel and f_blood, with bounds.
    summary, source : str
        Shown by ``msfit models``.

    Returns
    -------
    SkinModel
        The model, which `fit` also takes in place of its name.

    Raises
    ------
    InputError
        The name is taken, the range is not one, or the parameters are not f_mel and f_blood. A function that does not
        return what it should is refused when it is first used.

    Examples
    --------
    >>> import torch
    >>> def grey(f_mel, f_blood, wavelengths):
    ...     return torch.exp(-f_mel * 500 / wavelengths - f_blood)
    >>> model = register_model("grey-example", grey, wavelength_range=(400, 700))
    """
    if tuple(parameter.name for parameter in parameters) != ("f_mel", "f_blood"):
        raise InputError(f"parameters: found {[p.name for p in parameters]}; expected f_mel and f_blood, in this order")
    if not isinstance(name, str) or not name:
        raise InputError(f"name: found {name!r}; expected a word by which fit and reflectance will know the model")
    if not callable(reflectance):
        raise InputError(f"reflectance: found {type(reflectance).__name__}; expected a function")
    try:
        low, high = (float(end) for end in wavelength_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not 100 <= low < high:
        raise InputError(f"wavelength_range: found {wavelength_range!r}; expected (lowest, highest) in nm")
    for parameter in parameters:
        if not all(0 <= lower < upper <= 1 for lower, upper in (parameter.wide, parameter.paper)):
            raise InputError(f"parameters: found bounds of {parameter.name} outside 0 <= lower < upper <= 1")

    def on_bands(wavelengths: np.ndarray) -> Skin:
        return AutogradSkin(name, reflectance, torch.from_numpy(wavelengths))

    return add_model(SkinModel(name, summary, source, (low, high), on_bands, tuple(parameters)))
