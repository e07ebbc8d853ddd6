"""The skin model of Alotaibi & Smith 2019 in jax, for solvers that need it there. Tests hold it equal to msfit's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.reference_skin import ReferenceSkin

_THICKNESS = 0.3  # of the dermis [cm]


class JaxSkin:
    """Reflectance (band,) at f_mel and f_blood; its constants as in `ReferenceSkin`, in the type given."""

    def __init__(self, wavelengths: np.ndarray, dtype: str) -> None:
        skin = ReferenceSkin("alotaibi-smith-2019", wavelengths)
        oxygenated = 0.75 * 2.303 * skin.hbo2 * 150 / 66500
        deoxygenated = 0.25 * 2.303 * skin.hb * 150 / 66500
        melanin = 0.02 * (0.61 * 80 * skin.eumelanin + 0.39 * 12 * skin.pheomelanin)
        spectra = {
            "base": skin.base,
            "depth_mel": melanin - skin.base,
            "depth_blood": 0.25 * (0.75 * oxygenated + 0.25 * deoxygenated - skin.base),
            "blood": oxygenated + deoxygenated - skin.base,
            "scattering": skin.mu_s,
        }
        self._spectra = {name: jnp.asarray(values, dtype) for name, values in spectra.items()}

    def __call__(self, f_mel: Any, f_blood: Any) -> Any:
        s = self._spectra
        depth = s["base"] + f_mel * s["depth_mel"] + f_blood * s["depth_blood"]
        absorption = s["base"] + f_blood * s["blood"]
        k = jnp.sqrt(absorption * (absorption + 2 * s["scattering"]))
        dermis = s["scattering"] / (absorption + s["scattering"] + k / jnp.tanh(k * _THICKNESS))
        return jnp.exp(-2 * depth) * dermis
