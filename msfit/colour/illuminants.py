"""CIE illuminants, daylight of any colour temperature, and the convex illumination model of BioFaceNet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msfit.colour.spectra import Spectrum, read_csv, table
from msfit.errors import InputError

#: Daylight is defined between these correlated colour temperatures [K] (CIE 15:2004).
DAYLIGHT_RANGE = (4000.0, 25000.0)
#: Order of the weights of the illumination model.
ILLUMINATION_NAMES = ("A", "D", *(f"F{number}" for number in range(1, 13)))

_DAYLIGHT_NAME = re.compile(r"D(\d{4,5})")
_KNOWN = (
    "A, E, D50, D55, D65, D75, F1 to F12, LED-B1 to LED-B5, LED-BH1, LED-RGB1, LED-V1, LED-V2, or D and a colour"
    " temperature such as D5000"
)


def illuminant(source: str | Path | Spectrum) -> Spectrum:
    """An illuminant by name or from a file.

    Parameters
    ----------
    source : str, Path or Spectrum
        "A", "E", "D50", "D55", "D65", "D75", "F1" to "F12" (also written "FL1"): the CIE's tables, 5 nm, A and D on
        300-780 nm, F on 380-780 nm; "LED-B1" to "LED-B5", "LED-BH1", "LED-RGB1", "LED-V1" and "LED-V2": the CIE's
        typical LEDs, 380-780 nm. "D" and four or five digits: daylight of that colour temperature [K], see
        `daylight`. Or a CSV file with wavelength [nm] and relative power. A Spectrum is checked and handed back.

    Returns
    -------
    Spectrum
        Relative spectral power (node,), not negative and not all zero.

    Raises
    ------
    InputError
        Neither a known name nor a readable file; a colour temperature outside 4000-25000 K; negative or no power.

    References
    ----------
    CIE 15:2004, Colorimetry, and for the LEDs CIE 15:2018; their tables as given by colour-science.

    Examples
    --------
    >>> illuminant("D65").on([550.0, 560.0]).tolist()
    [104.046, 100.0]
    """
    spectrum = source if isinstance(source, Spectrum) else _named(str(source)) or _from_file(Path(source))
    if spectrum.values.ndim != 1 or (spectrum.values < 0).any() or not (spectrum.values > 0).any():
        raise InputError(
            f"illuminant: {spectrum.name} has negative or no power; expected one spectral power a wavelength"
        )
    return spectrum


def _named(name: str) -> Spectrum | None:
    key = name.strip().upper().replace("FL", "F")
    daylight_name = _DAYLIGHT_NAME.fullmatch(key)
    if daylight_name:
        low, high = DAYLIGHT_RANGE
        if not low <= float(daylight_name[1]) <= high:
            raise InputError(
                f"illuminant: found {name!r}; daylight is defined on {low:g}-{high:g} K; expected {_KNOWN}, or a file"
            )
        nodes = table("daylight_basis.csv")["S0"].wavelengths
        return Spectrum(nodes, daylight(torch.tensor(float(daylight_name[1]), dtype=torch.float64), nodes).numpy(), key)
    if key == "E":
        return Spectrum(np.array([300.0, 830.0]), np.ones(2), "E")
    tables = table("illuminants_a_d.csv") | table("illuminants_f.csv") | table("illuminants_led.csv")
    return tables.get(key)


def _from_file(path: Path) -> Spectrum:
    if not path.is_file():
        raise InputError(f"illuminant: {str(path)!r} is neither a name nor a file; expected {_KNOWN}, or a CSV file")
    return read_csv(path, ("power",))


def daylight(cct: Tensor, wavelengths: Any) -> Tensor:
    """CIE daylight of a correlated colour temperature, differentiable in it.

    S = S0 + M1 S1 + M2 S2, with M1 and M2 from the chromaticity of the daylight locus at `cct`, not rounded (the CIE
    rounds them to three decimals, which moves a spectrum by less than 0.02 % of its peak).

    Parameters
    ----------
    cct : tensor (...)
        Correlated colour temperature [K], 4000-25000.
    wavelengths : array (band,)
        [nm], inside 300-830.

    Returns
    -------
    tensor (..., band)
        Relative spectral power, 100 at 560 nm, of the type and on the device of `cct`.

    Raises
    ------
    InputError
        A colour temperature or wavelength outside its range.

    References
    ----------
    CIE 15:2004, Colorimetry, section 3.1; G. Wyszecki, W. S. Stiles, Color Science, 2nd ed., table I(3.3.4).
    """
    low, high = DAYLIGHT_RANGE
    if not bool(((cct >= low) & (cct <= high)).all()):
        raise InputError(
            f"cct: found {cct.min().item():g} to {cct.max().item():g} K; daylight is defined on {low:g}-{high:g} K"
        )
    basis = torch.as_tensor(_daylight_basis(wavelengths), dtype=cct.dtype, device=cct.device)
    return _daylight_weights(cct) @ basis


def _daylight_basis(wavelengths: Any) -> np.ndarray:
    columns = table("daylight_basis.csv")
    return np.stack([columns[name].on(wavelengths) for name in ("S0", "S1", "S2")])


def _daylight_weights(cct: Tensor) -> Tensor:
    """The weights (1, M1, M2) of the three daylight components: (..., 3)."""
    u = 1.0e3 / cct
    warm = 0.244063 + 0.09911 * u + 2.9678 * u**2 - 4.6070 * u**3
    cool = 0.237040 + 0.24748 * u + 1.9018 * u**2 - 2.0064 * u**3
    x = torch.where(cct <= 7000, warm, cool)
    y = -3.000 * x**2 + 2.870 * x - 0.275
    m = 0.0241 + 0.2562 * x - 0.7341 * y
    m1 = (-1.3515 - 1.7703 * x + 5.9114 * y) / m
    m2 = (0.0300 - 31.4424 * x + 30.0717 * y) / m
    return torch.stack([torch.ones_like(m1), m1, m2], dim=-1)


class IlluminationModel(nn.Module):
    """A convex mixture of CIE illuminants, steered by 15 numbers.

    e = w_A A + w_D D(t) + w_1 F1 + ... + w_12 F12, with w = softmax of the first 14 numbers in the order of
    `ILLUMINATION_NAMES` and t = 21 sigmoid(last number) + 1, which indexes 22 daylights of 3000 + 1000 t kelvin, 4000
    to 25000 K. Between them daylight follows the CIE's formula. Each illuminant has unit sum over the bands, so e has.

    Parameters
    ----------
    wavelengths : array (band,)
        [nm], inside 380-780.

    Raises
    ------
    InputError
        A wavelength outside the tables.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, eq 11.
    """

    lamps: Tensor
    daylight_basis: Tensor

    def __init__(self, wavelengths: Any) -> None:
        super().__init__()
        lamps = np.stack([illuminant(name).on(wavelengths) for name in ILLUMINATION_NAMES if name != "D"])
        self.register_buffer("lamps", torch.from_numpy(lamps / lamps.sum(1, keepdims=True)))
        self.register_buffer("daylight_basis", torch.from_numpy(_daylight_basis(wavelengths)))

    def forward(self, parameters: Tensor) -> Tensor:
        """Spectral power of unit sum, (..., band), from parameters (..., 15) of any real value."""
        if parameters.shape[-1] != 15:
            raise InputError(f"parameters: found shape {tuple(parameters.shape)}; expected 15 numbers on the last axis")
        weights = parameters[..., :14].softmax(-1)
        cct = 3000 + 1000 * (21 * parameters[..., 14].sigmoid() + 1)
        day = _daylight_weights(cct) @ self.daylight_basis.to(parameters)
        day = day / day.sum(-1, keepdim=True)
        lamp_weights = torch.cat([weights[..., :1], weights[..., 2:]], dim=-1)
        return weights[..., 1:2] * day + lamp_weights @ self.lamps.to(parameters)
