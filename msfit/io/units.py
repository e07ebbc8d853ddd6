"""Units that files state their light in."""

from __future__ import annotations

import numpy as np

# CODATA 2018, exact by definition of the SI (BIPM, The International System of Units, 9th edition, 2019).
PLANCK = 6.62607015e-34  # J s
LIGHT_SPEED = 299_792_458.0  # m / s


def photons_from_energy(energy: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """Spectral photon flux of a spectral power: ``energy * wavelength / (h c)``.

    Parameters
    ----------
    energy : array (..., band)
        Power, W a unit of area, angle and wavelength.
    wavelengths : array (band,)
        [nm].

    Returns
    -------
    float array (..., band)
        Photons a second in place of watts.
    """
    return energy * (wavelengths * 1e-9 / (PLANCK * LIGHT_SPEED))
