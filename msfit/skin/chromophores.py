"""Extinction spectra of the skin's pigments, from published tables, on any wavelengths inside them."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from msfit.errors import InputError

# name: (table, column). Each table's first line names its source.
_TABLES = {
    "oxyhaemoglobin": ("haemoglobin_prahl.csv", 1),
    "deoxyhaemoglobin": ("haemoglobin_prahl.csv", 2),
    "eumelanin": ("eumelanin_sarna_swartz.csv", 1),
    "pheomelanin": ("pheomelanin_sarna_swartz.csv", 1),
}


def extinction(name: str, wavelengths: np.ndarray) -> np.ndarray:
    """Extinction of a pigment, interpolated linearly between the nodes of its table.

    Parameters
    ----------
    name : {"oxyhaemoglobin", "deoxyhaemoglobin", "eumelanin", "pheomelanin"}
    wavelengths : array (band,)
        [nm], inside the table: 250-1000 (haemoglobins, every 2), 209.99-820.26 (eumelanin, 31 nodes),
        213.54-829.42 (pheomelanin, 49 nodes).

    Returns
    -------
    float64 array (band,)
        Haemoglobins: molar extinction [cm^-1 / (mol/l)], to base 10. Melanins: [cm^-1 / (mg/ml)].

    Raises
    ------
    InputError
        A wavelength outside the table: nothing is extrapolated.

    References
    ----------
    S. Prahl, "Tabulated molar extinction coefficient for hemoglobin in water", Oregon Medical Laser Center.
    T. Sarna, H. Swartz, "The physical properties of melanins", in The Pigmentary System, 2006; graphed by S. Jacques,
    Oregon Medical Laser Center.

    Examples
    --------
    >>> extinction("oxyhaemoglobin", np.array([542.0, 543.0, 560.0]))
    array([53292. , 52694. , 32613.2])
    """
    nodes, values = _table(*_TABLES[name])
    wavelengths = np.asarray(wavelengths, dtype=np.float64)
    if wavelengths.min() < nodes[0] or wavelengths.max() > nodes[-1]:
        raise InputError(
            f"wavelengths: {wavelengths.min():.8g}-{wavelengths.max():.8g} nm asked for, "
            f"{name} is tabulated on {nodes[0]:g}-{nodes[-1]:g} nm; choose wavelengths inside it"
        )
    return np.interp(wavelengths, nodes, values)


@cache
def _table(file: str, column: int) -> tuple[np.ndarray, np.ndarray]:
    text = resources.files("msfit.skin").joinpath("data", file).read_text(encoding="ascii")
    table = np.array([line.split(",") for line in text.splitlines()[2:]], dtype=np.float64)
    return table[:, 0], table[:, column]
