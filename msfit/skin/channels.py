"""A skin model seen through the channels of a camera: its reflectance integrated over their responses.

    R_c(x) = sum_nm w_c(nm) r(x; nm),   w_c = S_c L / sum S_c L

on a grid of 1 nm. Reflectances of skin lie nearly in a space of few dimensions, so that the integrals follow from the
model at few wavelengths (empirical interpolation: Barrault, Maday, Nguyen, Patera, C. R. Acad. Sci. Paris 339, 2004):
as many as bring every channel within `TOLERANCE` of the sum over all. What the fine grid costs is paid at set-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from msfit.data.channels import Channels
from msfit.errors import InputError
from msfit.skin.arrays import converted
from msfit.skin.layers import Compilable, Constants
from msfit.skin.registry import Skin, SkinModel

#: Largest error of a channel's integral [reflectance].
TOLERANCE = 5e-7
#: Shares of a response's area that may lie outside the model's range: with a warning, and at all.
NOTED, REFUSED = 0.01, 0.03
# Numbers of wavelengths that are tried; nodes an axis from which they are found, and others on which they are tried.
_COUNTS = range(8, 68, 4)
_NODES, _OTHERS = 17, 25


@dataclass(frozen=True, eq=False)
class ChannelSkin:
    """Skin in channels: `mixing` (channel, wavelength) times the reflectance of `skin` at some wavelengths."""

    skin: Skin
    mixing: Any

    def to(self, dtype: Any, device: Any = "cpu") -> ChannelSkin:
        """The same skin with its constants in a numpy type, or a torch type on a device."""
        return ChannelSkin(self.skin.to(dtype, device), converted(self.mixing, dtype, device))

    def reflectance(self, fractions: Any) -> Any:
        """Reflectance (..., channel) at parameters (..., parameter)."""
        return self.skin.reflectance(fractions) @ self.mixing.T

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, ...]]:
        """Reflectance (..., channel) and its derivative with respect to each parameter, each (..., channel)."""
        reflectance, derivatives = self.skin.jacobian(fractions)
        return reflectance @ self.mixing.T, tuple(slope @ self.mixing.T for slope in derivatives)

    def constants(self, dtype: Any) -> Constants | None:
        """The constants, in a numpy type, of what it is inside, mixed; None where that is not of their form."""
        if not isinstance(self.skin, Compilable) or (inside := self.skin.constants(dtype)) is None:
            return None
        rows, columns = (-size % 4 for size in self.mixing.shape)
        return replace(
            inside,
            spectra=np.pad(inside.spectra, ((0, columns), (0, 0)), mode="edge"),
            mixing=np.pad(self.mixing, ((0, rows), (0, columns))).astype(inside.spectra.dtype),
        )


def mixed(skin: Skin, weights: Any) -> ChannelSkin:
    """Skin in sums of its bands, `weights` (sum, band), an array of its kind."""
    return (
        ChannelSkin(skin.skin, weights @ skin.mixing) if isinstance(skin, ChannelSkin) else ChannelSkin(skin, weights)
    )


def through(model: SkinModel, channels: Channels, truncate: float = REFUSED) -> SkinModel:
    """A model whose "wavelengths" are the centres of channels, and whose reflectance is that of the channels.

    Parameters
    ----------
    model : SkinModel
    channels : Channels
        With different centres: they are found by these.
    truncate : float
        Largest share of a response's area that may lie outside the model's range and is left out.

    Raises
    ------
    InputError
        A response that reaches farther outside.
    """
    nm, weights, lost = channels.shares(*model.wavelength_range)
    if (worst := lost.max()) > truncate:
        name = channels.names[int(lost.argmax())]
        low, high = model.wavelength_range
        raise InputError(
            f"channels: {100 * worst:.3g} % of the response of {name} lie outside {low:g}-{high:g} nm, where model"
            f" {model.name} holds; expected at most {100 * truncate:.2g} %: leave the channel out, or allow more with"
            " truncate"
        )
    return _through(model, channels.centres.tobytes(), nm.tobytes(), weights.tobytes())


def reach_inside(model: SkinModel, channels: Channels, truncate: float = REFUSED) -> np.ndarray:
    """Indices of the channels of whose area no larger share than `truncate` lies outside the model's range."""
    return np.flatnonzero(channels.shares(*model.wavelength_range)[2] <= truncate)


def truncated(model: SkinModel, channels: Channels) -> list[str]:
    """What is worth saying of responses that reach outside the model's range: a line, or none."""
    lost = channels.shares(*model.wavelength_range)[2]
    far = np.flatnonzero(lost > NOTED)
    if not far.size:
        return []
    low, high = model.wavelength_range
    each = ", ".join(f"{100 * lost[c]:.2g} % of {channels.names[c]}" for c in far)
    return [f"responses outside {low:g}-{high:g} nm, where model {model.name} holds, are left out: {each}"]


@lru_cache(maxsize=8)
def _through(model: SkinModel, centres: bytes, wavelengths: bytes, shares: bytes) -> SkinModel:
    """One model for the same channels, so that what is kept of it (solvers, quadratures) is found again."""
    middle, nm = np.frombuffer(centres), np.frombuffer(wavelengths)
    weights = np.frombuffer(shares).reshape(len(middle), len(nm))

    def rows(bands: np.ndarray) -> np.ndarray:
        chosen = np.abs(bands[:, None] - middle).argmin(1)
        if not np.allclose(middle[chosen], bands, atol=1e-6):
            raise InputError("wavelengths: found what are no centres of the channels; leave resampling out")
        return weights[chosen]

    def on_bands(bands: np.ndarray) -> Skin:
        few, mixing = _quadrature(model, nm, rows(bands))
        return ChannelSkin(model.on_bands(few), mixing)

    # every fit asks for it, to count what its channels can tell; but what a user's function closes over may change
    kept = lru_cache(maxsize=4)(lambda bands: on_bands(np.frombuffer(bands)))
    again = on_bands if model.torch_only else lambda bands: kept(np.asarray(bands, np.float64).tobytes())

    def varying(bands: np.ndarray, free: tuple[str, ...], held: Mapping[str, float]) -> Skin:
        assert model.varying is not None
        # extras change the spectra in more ways than the quadrature was made for
        return ChannelSkin(model.varying(nm, free, held), rows(bands))

    return replace(model, on_bands=again, varying=None if model.varying is None else varying)


def _quadrature(model: SkinModel, nm: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths (k,), and weights (channel, k) by which channels follow from the model there."""
    from scipy.linalg import qr

    skin = model.on_bands(nm)
    made, tried = (_reflectances(model, skin, nodes) for nodes in (_NODES, _OTHERS))
    directions = np.linalg.svd(made / np.linalg.norm(made, axis=1, keepdims=True), full_matrices=False)[2].T
    for count in _COUNTS:
        if count >= min(directions.shape):
            break
        basis = directions[:, :count]
        chosen = np.sort(qr(basis.T, mode="r", pivoting=True)[1][:count])
        mixing = weights @ basis @ np.linalg.inv(basis[chosen])
        error = max(np.abs(r[:, chosen] @ mixing.T - r @ weights.T).max() for r in (made, tried))
        if error <= TOLERANCE:
            return nm[chosen], mixing
    used = np.flatnonzero(weights.any(0))
    return nm[used], weights[:, used]


def _reflectances(model: SkinModel, skin: Skin, nodes: int) -> np.ndarray:
    """Reflectances (n, nm) all over the pigments' widest box, denser where there is little."""
    u = np.linspace(0, 1, nodes) ** 2
    axes = [low + (high - low) * u for low, high in (parameter.wide for parameter in model.parameters)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    if model.torch_only:
        import torch

        return np.asarray(skin.reflectance(torch.from_numpy(x)), np.float64)
    return np.asarray(skin.reflectance(x), np.float64)
