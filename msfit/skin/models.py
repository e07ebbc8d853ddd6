"""Skin models by name: reflectance, and models of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from msfit.data.channels import Channels
from msfit.errors import InputError
from msfit.skin import DEFAULT_MODEL, REFERENCE_MODEL
from msfit.skin.arrays import is_tensor
from msfit.skin.calibrated import MSFIT_ISSA_2025, MSFIT_ISSA_2026
from msfit.skin.channels import REFUSED, through
from msfit.skin.published import ALOTAIBI_SMITH_2019
from msfit.skin.registry import BLOOD, MELANIN, Parameter, Skin, SkinModel, add_model, get_model, model_names

if TYPE_CHECKING:
    from torch import Tensor

#: Names of the maps of a fit, which no extra parameter may have.
TAKEN = ("f_mel", "f_blood", "i_d", "i_s", "rmse", "status", "wavelengths", "wavelength", "gap")

__all__ = [
    "ALOTAIBI_SMITH_2019",
    "DEFAULT_MODEL",
    "MSFIT_ISSA_2025",
    "MSFIT_ISSA_2026",
    "REFERENCE_MODEL",
    "Parameter",
    "Skin",
    "SkinModel",
    "get_model",
    "model_names",
    "models",
    "reflectance",
    "register_model",
]


@overload
def reflectance(f_mel: Tensor, f_blood: Any, wavelengths: Any, model: str = ..., **extras: Any) -> Tensor: ...
@overload
def reflectance(f_mel: Any, f_blood: Any, wavelengths: Any, model: str = ..., **extras: Any) -> Any: ...
def reflectance(
    f_mel: Any,
    f_blood: Any,
    wavelengths: Any = None,
    model: str = DEFAULT_MODEL,
    *,
    channels: Channels | None = None,
    truncate: float = REFUSED,
    **extras: Any,
) -> Any:
    """Diffuse reflectance of skin.

    Parameters
    ----------
    f_mel : array (...)
        Melanosome volume fraction of the epidermis [1], 0 to 1 (plausibly 0.013-0.43).
    f_blood : array (...)
        Blood volume fraction of the dermis [1], 0 to 1 (plausibly 0.02-0.07). Broadcast with f_mel.
    wavelengths : array (band,)
        [nm], inside the model's range; not with channels.
    model : str
        A name from `msfit.models`; by default that of `fit`, which gives back the fractions.
    channels : Channels, optional
        Integrate over the responses of a camera.
    truncate : float
        Largest share of a response that may lie outside the model's range, and is left out.
    **extras : array (...)
        Extra parameters of the model (``msfit models``), broadcast with the others; unless given, at their defaults,
        where the result is the same to the bit: ``saturation=0.6`` [1], ``scattering=1.2``, ``epidermis=0.8`` [times
        the model's].

    Returns
    -------
    array (..., band) or (..., channel)
        Reflectance [1], NaN where a parameter is, or where the model does not hold. Where a parameter is a tensor: a
        tensor of its type and on its device, differentiable; else a numpy array, float32 if all parameters are, float64
        otherwise.

    Raises
    ------
    InputError
        Unknown model or extra parameter, wavelengths outside its range, fractions outside [0, 1], extras outside their
        widest bounds.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, eq 12.

    Examples
    --------
    >>> reflectance(0.1, 0.03, [450.0, 550.0, 650.0], model="alotaibi-smith-2019").round(4)
    array([0.0019, 0.0179, 0.4038])
    """
    skin_model = get_model(model)
    if channels is not None:
        if wavelengths is not None:
            raise InputError("wavelengths: given beside channels, which have their own; leave them out")
        skin_model, wavelengths = through(skin_model, channels, truncate), channels.centres
    elif wavelengths is None:
        raise InputError("wavelengths: missing; expected one number a band [nm], or channels")
    limits = {"f_mel": (0.0, 1.0), "f_blood": (0.0, 1.0)}
    limits |= {parameter.name: parameter.wide for parameter in skin_model.extra_parameters(extras)}
    given = {"f_mel": f_mel, "f_blood": f_blood, **extras}
    like = next((values for values in given.values() if is_tensor(values)), None)
    wavelengths = wavelengths.detach().cpu().numpy() if is_tensor(wavelengths) else wavelengths
    if like is not None:
        return _of_tensors(skin_model, given, limits, wavelengths, like)
    arrays = {name: _numbers(name, value) for name, value in given.items()}
    dtype = np.float32 if all(array.dtype == np.float32 for array in arrays.values()) else np.float64
    for name, array in arrays.items():
        _check_range(name, array, *limits[name])
    skin = skin_model.in_numpy(wavelengths, dtype, free=extras)
    try:
        x = np.stack(np.broadcast_arrays(*(array.astype(dtype) for array in arrays.values())), -1)
    except ValueError:
        raise _shapes(arrays) from None
    if skin is None:
        import torch

        values = torch.from_numpy(x)
        return skin_model.at(wavelengths, values.dtype, free=extras).reflectance(values).numpy()
    with np.errstate(all="ignore"):  # NaN where a parameter is, or where the model does not hold
        return skin.reflectance(x)


def _of_tensors(
    skin_model: SkinModel,
    given: Mapping[str, Any],
    limits: Mapping[str, tuple[float, float]],
    wavelengths: Any,
    like: Any,
) -> Tensor:
    """The same of tensors, in the type and place of one of them."""
    import torch

    dtype = like.dtype if like.is_floating_point() else torch.float64
    values = {name: torch.as_tensor(value, dtype=dtype, device=like.device) for name, value in given.items()}
    for name, value in values.items():
        _check_range(name, value, *limits[name])
    skin = skin_model.at(wavelengths, dtype, like.device, free=list(given)[2:])
    try:
        together = torch.stack(torch.broadcast_tensors(*values.values()), dim=-1)
    except RuntimeError:
        raise _shapes(values) from None
    reflectance: Tensor = skin.reflectance(together)
    return reflectance


def models() -> dict[str, SkinModel]:
    """The skin models that there are, by name; those registered by `register_model` too.

    Returns
    -------
    dict of SkinModel
        In the order in which they were registered. Their attributes say where they hold, what their parameters are,
        and where they come from.

    Examples
    --------
    >>> models()["msfit-issa-2025"].wavelength_range
    (400.0, 720.0)
    """
    return {name: get_model(name) for name in model_names()}


def _shapes(values: Mapping[str, Any]) -> InputError:
    shapes = " and ".join(str(tuple(value.shape)) for value in values.values())
    return InputError(f"{', '.join(values)}: found shapes {shapes}; expected shapes that broadcast")


def _check_range(name: str, values: Any, low: float, high: float) -> None:
    slack = 1e-6 * high if name not in ("f_mel", "f_blood") else 0.0  # bounds may have been rounded to single precision
    if bool(((values < low - slack) | (values > high + slack)).any()):
        advice = "volume fractions: divide percent by 100" if name in ("f_mel", "f_blood") else "values inside"
        raise InputError(f"{name}: found values outside {low:g}-{high:g}; expected {advice}")


def _numbers(name: str, values: Any) -> np.ndarray:
    """A real array, what is masked in it NaN."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.dtype.kind not in "uif":
        raise InputError(f"{name}: found {array.dtype}; expected real numbers, volume fractions in 0-1")
    return np.ma.filled(array.astype(np.float64), np.nan) if np.ma.isMaskedArray(array) else array


def register_model(
    name: str,
    reflectance: Callable[..., Tensor],
    *,
    wavelength_range: tuple[float, float],
    parameters: Sequence[Parameter] = (MELANIN, BLOOD),
    extras: Sequence[Parameter] = (),
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
        (..., band), written in differentiable torch operations that treat every pixel on its own. Extras come as
        keywords, each a tensor like f_mel.
    wavelength_range : (float, float)
        Where the model holds [nm].
    parameters : sequence of Parameter
        f_mel and f_blood, with bounds.
    extras : sequence of Parameter
        What `fit` may fit besides, by name; at its default otherwise.
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
    names = [parameter.name for parameter in extras]
    if len({*names, *TAKEN}) != len(names) + len(TAKEN) or not all(name.isidentifier() for name in names):
        raise InputError(f"extras: found {names}; expected different words, none of {', '.join(TAKEN)}")
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
    for extra in extras:
        for lower, upper in (extra.wide, extra.paper):
            if not extra.wide[0] <= lower <= extra.default <= upper <= extra.wide[1] or lower == upper:
                raise InputError(f"extras: found {extra}; expected wide bounds around paper ones around the default")
    defaults = {extra.name: extra.default for extra in extras}

    def varying(wavelengths: np.ndarray, free: tuple[str, ...], held: Mapping[str, float]) -> Skin:
        import torch

        from msfit.skin.autograd import AutogradSkin

        others = {key: value for key, value in {**defaults, **held}.items() if key not in free}
        return AutogradSkin(name, reflectance, torch.from_numpy(wavelengths), free, others)

    def on_bands(wavelengths: np.ndarray) -> Skin:
        return varying(wavelengths, (), {})

    return add_model(
        SkinModel(name, summary, source, (low, high), on_bands, tuple(parameters), tuple(extras), varying, True)
    )
