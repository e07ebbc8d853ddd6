"""What a skin model is, and the registry of those there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np

from msfit.errors import InputError

_Self = TypeVar("_Self", bound="Skin")


class Skin(Protocol):
    """A skin model on a fixed set of bands: what the solver needs of it, in numpy arrays or tensors."""

    def to(self: _Self, dtype: Any, device: Any = "cpu") -> _Self:
        """The same skin with its constants in a numpy type, or a torch type on a device."""

    def reflectance(self, fractions: Any) -> Any:
        """Reflectance (..., band) at parameters (..., parameter)."""

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, ...]]:
        """Reflectance (..., band) and its derivative with respect to each parameter, each (..., band)."""


@dataclass(frozen=True)
class Parameter:
    """A number that a skin model needs at every pixel.

    Attributes
    ----------
    name, unit, description : str
    wide, paper : (lower, upper)
        The two named sets of bounds.
    default : float
        Value where the parameter is not fitted.
    """

    name: str
    unit: str
    description: str
    wide: tuple[float, float]
    paper: tuple[float, float]
    default: float


# The plausible range is the one printed by Alotaibi & Smith, BMVC 2019; their released code samples from zero up.
MELANIN = Parameter("f_mel", "1", "melanosome volume fraction of the epidermis", (0.0, 0.43), (0.013, 0.43), 0.10)
BLOOD = Parameter("f_blood", "1", "blood volume fraction of the dermis", (0.0, 0.07), (0.02, 0.07), 0.03)


@dataclass(frozen=True)
class SkinModel:
    """A named skin model.

    Attributes
    ----------
    name : str
    summary, source : str
        What it is, in a line, and where it comes from.
    wavelength_range : (float, float)
        [nm]. Outside it the model does not hold and is not evaluated.
    on_bands : callable
        Wavelengths (band,) [nm], float64 -> `Skin`.
    parameters : tuple of Parameter
        f_mel and f_blood.
    extras : tuple of Parameter
        What else can be fitted; at their defaults the model is that of `on_bands`.
    varying : callable, where there are extras
        (wavelengths, names of free extras, {name: value} of held ones) -> `Skin` whose third and further parameters are
        the free ones.
    torch_only : bool
        The model's functions take tensors alone; else `on_bands` and `varying` make skins in numpy.
    """

    name: str
    summary: str
    source: str
    wavelength_range: tuple[float, float]
    on_bands: Callable[[np.ndarray], Skin]
    parameters: tuple[Parameter, ...] = (MELANIN, BLOOD)
    extras: tuple[Parameter, ...] = ()
    varying: Callable[[np.ndarray, tuple[str, ...], Mapping[str, float]], Skin] | None = None
    torch_only: bool = False

    def at(
        self,
        wavelengths: Any,
        dtype: Any = None,
        device: Any = "cpu",
        *,
        free: Collection[str] = (),
        held: Mapping[str, float] | None = None,
    ) -> Skin:
        """The model on some wavelengths, in torch.

        Parameters
        ----------
        wavelengths : array (band,)
            [nm], inside `wavelength_range`, in any order.
        dtype, device : torch.dtype, torch.device or str
            Of the tensors that it works on, by default float64 on the CPU. Spectral constants are always computed in
            float64 first.
        free : collection of str
            Extras that follow f_mel and f_blood as parameters of the skin, in this order.
        held : mapping of float, optional
            Values of other extras; those that are not named keep their default.

        Raises
        ------
        InputError
            A wavelength outside the model's range; an extra that the model does not have.
        """
        import torch

        skin = self._skin(wavelengths, free, held)
        return skin.to(torch.float64 if dtype is None else dtype, torch.device(device))

    def in_numpy(
        self,
        wavelengths: Any,
        dtype: Any = np.float64,
        *,
        free: Collection[str] = (),
        held: Mapping[str, float] | None = None,
    ) -> Skin | None:
        """The same in numpy; None of a model that is torch's alone."""
        if self.torch_only:
            return None
        skin = self._skin(wavelengths, free, held)
        return skin if dtype is np.float64 else skin.to(dtype)

    def _skin(self, wavelengths: Any, free: Collection[str], held: Mapping[str, float] | None) -> Skin:
        bands = np.atleast_1d(np.asarray(wavelengths, dtype=np.float64))
        low, high = self.wavelength_range
        if bands.ndim != 1 or bands.size == 0 or not np.isfinite(bands).all():
            raise InputError(
                f"wavelengths: found an array of shape {bands.shape}; expected one finite number a band [nm]"
            )
        if bands.min() < low or bands.max() > high:
            raise InputError(
                f"wavelengths: {bands.min():.8g}-{bands.max():.8g} nm asked for, model {self.name} holds on "
                f"{low:g}-{high:g} nm; choose bands inside it"
            )
        held = held or {}
        self.extra_parameters([*free, *held])
        if self.varying is not None and (free or held):
            return self.varying(bands, tuple(free), held)
        # a user's function is asked anew: what it closes over may have changed
        return self.on_bands(bands) if self.torch_only else _kept(self.on_bands, bands.tobytes())

    def extra_parameters(self, names: Collection[str]) -> list[Parameter]:
        """The extras of these names.

        Raises
        ------
        InputError
            The model does not have one of them; the message lists those it has.
        """
        known = {parameter.name: parameter for parameter in self.extras}
        if unknown := [name for name in names if name not in known]:
            has = f"has {', '.join(known)}" if known else "has none"
            raise InputError(f"{unknown[0]}: no extra parameter of model {self.name}, which {has}; see msfit models")
        return [known[name] for name in names]


@lru_cache(maxsize=32)
def _kept(on_bands: Callable[[np.ndarray], Skin], bands: bytes) -> Skin:
    """A named model on bands, in float64: its tables are read and its constants computed once."""
    return on_bands(np.frombuffer(bands))


_MODELS: dict[str, SkinModel] = {}


def add_model(model: SkinModel) -> SkinModel:
    """Put a model into the registry under its own name.

    Raises
    ------
    InputError
        The name is taken.
    """
    if model.name in _MODELS:
        raise InputError(f"model: the name {model.name!r} is taken; choose another")
    _MODELS[model.name] = model
    return model


def get_model(name: str) -> SkinModel:
    """The model of that name.

    Raises
    ------
    InputError
        There is none; the message lists those there are.
    """
    if name not in _MODELS:
        raise InputError(f"model: found {name!r}; expected one of {', '.join(model_names())}")
    return _MODELS[name]


def model_names() -> list[str]:
    """Names of the models, in the order in which they were registered."""
    return list(_MODELS)
