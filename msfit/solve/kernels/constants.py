"""The constants of two-layer skins as the compiled descents read them: one form for every kind of dermis.

    r = (1 - rho) q / (1 - rho q),   q = exp(d + f_mel d_mel + f_blood d_blood) S / (A + S + K coth(K D))

with A = a + f_blood a_blood, S = s + f_blood s_blood, K = sqrt(A (A + 2 S)) and D the thickness of the dermis; where it
is infinite, coth(K D) is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from msfit.skin.calibrated import InternallyReflecting
from msfit.skin.channels import ChannelSkin
from msfit.skin.layers import FiniteKubelkaMunk, HalfSpace, TwoLayers
from msfit.skin.registry import Skin

# So thick that e^-2KD is 0 for every skin, and D times what is 0 remains it.
_INFINITE = 1e6


@dataclass(frozen=True, eq=False)
class Constants:
    """`spectra` (band, 8): d, d_mel, d_blood, a, a_blood, s, s_blood, rho; `thickness`: D.

    `mixing` (coordinate, band): where it is not empty, a pixel is not given on these bands but by coordinates, or by
    channels, and the skin's are its reflectance times it. Both are filled up with zeros to a multiple of four.
    """

    spectra: np.ndarray
    thickness: Any
    mixing: np.ndarray


def constants(skin: Skin, dtype: Any = np.float32) -> Constants | None:
    """The constants, in a numpy type, of a skin in numpy; None where it is not of this form."""
    if isinstance(skin, ChannelSkin):
        inside = constants(skin.skin, dtype)
        return None if inside is None else _mixed(inside, skin.mixing)
    layers = skin.layers if isinstance(skin, InternallyReflecting) else skin
    if not isinstance(layers, TwoLayers):
        return None
    absorption, absorption_blood, scattering = layers.absorption, layers.absorption_blood, layers.scattering
    if isinstance(layers.dermis, FiniteKubelkaMunk):
        thickness, scattering_blood = layers.dermis.thickness, np.zeros_like(scattering)
    elif isinstance(layers.dermis, HalfSpace):
        thickness, loss = _INFINITE, layers.dermis.loss
        scattering, scattering_blood = 0.75 * scattering - loss * absorption, -loss * absorption_blood
        absorption, absorption_blood = 2 * absorption, 2 * absorption_blood
    else:
        return None
    rho = skin.reflection if isinstance(skin, InternallyReflecting) else 0.0
    depths = (-2 * layers.depth, -2 * layers.depth_mel, -2 * layers.depth_blood)
    dermis = (absorption, absorption_blood, scattering, scattering_blood, np.broadcast_to(rho, scattering.shape))
    spectra = np.stack((*depths, *dermis), 1).astype(dtype)
    return Constants(spectra, np.dtype(dtype).type(thickness), np.empty((0, 0), dtype))


def _mixed(inside: Constants, mixing: np.ndarray) -> Constants:
    """The constants of a skin in channels (channel, wavelength) of what it is inside."""
    rows, columns = (-size % 4 for size in mixing.shape)
    return replace(
        inside,
        spectra=np.pad(inside.spectra, ((0, columns), (0, 0)), mode="edge"),
        mixing=np.pad(mixing, ((0, rows), (0, columns))).astype(inside.spectra.dtype),
    )
