"""Skin models whose constants were estimated from measured skin: `msfit-issa-2025` and `msfit-issa-2026`.

    r = (1 - rho) q / (1 - rho q)
    q = exp(-2 d (f_mel mel + (1 - f_mel) e base)) R(b blood + (1 - b) base),   b = f_blood - c

An absorbing epidermis, passed twice, over a scattering dermis, as in the published models, in consistent units [cm^-1];
besides, blood is packed in vessels, and the surface reflects a share rho of what comes from inside back into the skin.
c is the blood that the corrected baseline contains already, 0 in the model of 2025: f_blood is all the blood there is.
Haemoglobin is taken as bands of 2026's `bandwidth` see it, in the model of 2025 at the resolution of its tables.
The constants, with literature, estimates and intervals, are the tables data/msfit_issa_*.csv, which
`python -m benchmarks.calibrate_skin` writes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from importlib import resources
from typing import Any, Generic, TypeVar

import numpy as np

from msfit.errors import InputError
from msfit.skin.arrays import NAMESPACES, converted
from msfit.skin.chromophores import extinction
from msfit.skin.layers import Constants, HalfSpace, TwoLayers, infinite_scattering_slope
from msfit.skin.registry import Parameter, Skin, SkinModel, add_model
from msfit.skin.varying import EPIDERMIS, VaryingLayers, dermal_scattering, oxygen_saturation

_Layers = TypeVar("_Layers", bound=Skin)

_HAEMOGLOBIN_MOLAR_MASS = 64500.0  # [g/mol], as given by Prahl
#: Wavelengths [nm] of the spectra that the constants are estimated from; the corrections keep their value outside.
CALIBRATED = (400.0, 700.0)


@dataclass(frozen=True)
class Constant:
    """A row of the table: what a constant is, what the literature says, what was found.

    Attributes
    ----------
    name, unit : str
    role : {"fixed", "linear", "log", "cosine"}
        Held (because it cannot be told from another), or estimated: as it is, by its logarithm, or as coefficient of a
        correction.
    low, high : float
        Range of the literature; the estimate is confined to it.
    prior, spread : float
        Centre and standard deviation of the prior (of the logarithm, relative, where the role is log).
    estimate, lower, upper : float
        Estimate, and the 2.5 and 97.5 percentiles of the bootstrap over persons.
    source : str
    """

    name: str
    unit: str
    role: str
    low: float
    high: float
    prior: float
    spread: float
    estimate: float
    lower: float
    upper: float
    source: str


_CASTS: tuple[Callable[[str], Any], ...] = (str, str, str, *7 * (float,), str)


# model: (table, rows)
_TABLES = {"msfit-issa-2025": ("msfit_issa_2025.csv", 26), "msfit-issa-2026": ("msfit_issa_2026.csv", 40)}


def constants(model: str) -> list[Constant]:
    """The table of a calibrated model's constants that ships with the library.

    Raises
    ------
    InputError
        The table is damaged: rows or numbers are missing, or an estimate is outside its range.
    """
    name, count = _TABLES[model]
    try:
        text = resources.files("msfit.skin").joinpath("data", name).read_text(encoding="ascii")
        rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
        table = [
            Constant(*(cast(row[f.name]) for f, cast in zip(fields(Constant), _CASTS, strict=True))) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name}: cannot be read ({error!r}); install msfit anew") from None
    wrong = [row.name for row in table if not row.low <= row.lower <= row.estimate <= row.upper <= row.high]
    if wrong or len(table) != count:
        found = f"{wrong[0]} outside its range" if wrong else f"{len(table)} rows"
        raise InputError(f"{name}: found {found}; expected {count} constants inside theirs; install msfit anew")
    return table


@dataclass(frozen=True, eq=False)
class InternallyReflecting(Generic[_Layers]):
    """A two-layer skin under a surface that reflects the share `reflection` of the light from inside back into it.

    r = (1 - rho) q / (1 - rho q), q the reflectance of the layers: J. L. Saunderson, J. Opt. Soc. Am. 32, 727 (1942),
    without the first reflection at the surface, which is the specular shading's.
    """

    layers: _Layers
    reflection: Any

    def to(self, dtype: Any, device: Any = "cpu") -> InternallyReflecting[_Layers]:
        """The same skin with its constants in a numpy type, or a torch type on a device."""
        return InternallyReflecting(self.layers.to(dtype, device), converted(self.reflection, dtype, device))

    def reflectance(self, fractions: Any) -> Any:
        """Reflectance (..., band) at the parameters of the layers, (..., parameter)."""
        inside = self.layers.reflectance(fractions)
        return (1 - self.reflection) * inside / (1 - self.reflection * inside)

    def jacobian(self, fractions: Any) -> tuple[Any, tuple[Any, ...]]:
        """Reflectance (..., band) and its derivative with respect to each parameter, each (..., band)."""
        inside, derivatives = self.layers.jacobian(fractions)
        bounces = 1 / (1 - self.reflection * inside)
        out = (1 - self.reflection) * bounces
        slope = out * bounces
        return out * inside, tuple(slope * derivative for derivative in derivatives)

    def constants(self, dtype: Any) -> Constants | None:
        """The constants, in a numpy type, of a skin in numpy; None where its layers are not of that form."""
        found = self.layers.constants(dtype) if isinstance(self.layers, TwoLayers) else None
        if found is not None:
            found.spectra[:, -1] = self.reflection
        return found


def skin_of(values: Mapping[str, Any], wavelengths: np.ndarray) -> InternallyReflecting[TwoLayers]:
    """The model with any values of its constants on wavelengths (band,) [nm], float64.

    Where the values are tensors so is the skin, differentiable in them; where they are numbers it is numpy's.
    """
    xp = NAMESPACES[type(values["melanosome_550"])]
    nm = xp.asarray(np.asarray(wavelengths, dtype=np.float64))
    melanosome = values["melanosome_550"] * (nm / 550) ** -values["melanin_exponent"]
    melanosome = melanosome * _correction(values, "melanin", nm)
    baseline = values["baseline_constant"] + values["baseline_amplitude"] * xp.exp(
        -(nm - 154) / values["baseline_decay"]
    )
    baseline = baseline * _correction(values, "baseline", nm)
    blood = _packed_blood(values, wavelengths)
    rayleigh = values["rayleigh_share"]
    scattering = values["scattering_500"] * (
        rayleigh * (nm / 500) ** -4 + (1 - rayleigh) * (nm / 500) ** -values["mie_exponent"]
    )
    if "scattering_cosine_1" in values:
        scattering = scattering * _correction(values, "scattering", nm)
    epidermis = values["epidermal_baseline"] * baseline
    bloodless = baseline - values["baseline_blood"] * (blood - baseline) if "baseline_blood" in values else baseline
    thickness = 1e-4 * values["epidermis_thickness"]  # um to cm
    layers = TwoLayers(
        depth=thickness * epidermis,
        depth_mel=thickness * (melanosome - epidermis),
        depth_blood=xp.zeros_like(nm),
        absorption=bloodless,
        absorption_blood=blood - baseline,
        scattering=scattering,
        dermis=HalfSpace(loss=0.0),
    )
    return InternallyReflecting(layers, values["internal_reflection"])


def _packed_blood(values: Mapping[str, Any], wavelengths: np.ndarray) -> Any:
    """Absorption of blood [cm^-1] that light meets only in vessels: times (1 - exp(-mu_a D)) / (mu_a D).

    R. L. P. van Veen, W. Verkruysse, H. J. C. M. Sterenborg, Opt. Lett. 27, 246 (2002).
    """
    saturation = values["oxygen_saturation"]
    xp = NAMESPACES[type(saturation)]
    oxygenated, deoxygenated = (xp.asarray(spectrum) for spectrum in _haemoglobin(values, wavelengths))
    blood = _molar(values) * (saturation * oxygenated + (1 - saturation) * deoxygenated)
    shadow = blood * _diameter(values)
    packed = blood * -xp.expm1(-shadow) / shadow
    if "blood_cosine_1" in values:
        packed = packed * _correction(values, "blood", xp.asarray(np.asarray(wavelengths, dtype=np.float64)))
    return packed


def _haemoglobin(values: Mapping[str, Any], wavelengths: np.ndarray) -> list[np.ndarray]:
    """Molar extinction of oxygenated and deoxygenated haemoglobin, as bands of the given width [nm] see it.

    Their response is a Gaussian of that full width at half maximum, summed every nanometre to four standard deviations.
    """
    names = ("oxyhaemoglobin", "deoxyhaemoglobin")
    if not (width := float(values.get("bandwidth", 0.0))):
        return [extinction(name, wavelengths) for name in names]
    deviation = width / math.sqrt(8 * math.log(2))
    reach = math.ceil(4 * deviation)
    steps = np.arange(-reach, reach + 1.0)
    response = np.exp(-0.5 * (steps / deviation) ** 2)
    around = np.asarray(wavelengths, np.float64)[:, None] + steps
    return [extinction(name, around.ravel()).reshape(around.shape) @ (response / response.sum()) for name in names]


def _molar(values: Mapping[str, Any]) -> Any:
    """Absorption [cm^-1] of blood per molar extinction of its haemoglobin."""
    return (math.log(10) / _HAEMOGLOBIN_MOLAR_MASS) * values["haemoglobin"]


def _diameter(values: Mapping[str, Any]) -> Any:
    """Of the vessels [cm]."""
    return 1e-4 * values["vessel_diameter"]


def _correction(values: Mapping[str, Any], spectrum: str, nm: Any) -> Any:
    """Smooth factor on a spectrum: exp of a short cosine series on the calibrated wavelengths, constant beyond them."""
    low, high = CALIBRATED
    xp = NAMESPACES[type(nm)]
    phase = math.pi * xp.clip((nm - low) / (high - low), 0.0, 1.0)
    orders = [name for name in values if name.startswith(f"{spectrum}_cosine_")]
    series = [values[name] * xp.cos(int(name.rsplit("_", 1)[1]) * phase) for name in orders]
    return xp.exp(xp.stack(series).sum(0))


def _estimates(model: str) -> dict[str, float]:
    return {row.name: row.estimate for row in constants(model)}


def _on_bands(model: str, wavelengths: np.ndarray) -> InternallyReflecting[TwoLayers]:
    return skin_of(_estimates(model), wavelengths)


def _varying(
    model: str, wavelengths: np.ndarray, free: tuple[str, ...], held: Mapping[str, float]
) -> InternallyReflecting[Any]:
    """The same with more than the pigments free: packed blood, (1 - exp(-mu D)) / D, has a mu linear in saturation."""
    values = _estimates(model)
    skin = skin_of(values, wavelengths)
    oxygenated, deoxygenated = _haemoglobin(values, wavelengths)
    s, diameter = values["oxygen_saturation"], _diameter(values)
    slope = _molar(values) * (oxygenated - deoxygenated)
    shadow = _molar(values) * (s * oxygenated + (1 - s) * deoxygenated) * diameter
    correction = _correction(values, "blood", np.asarray(wavelengths)) if "blood_cosine_1" in values else 1.0
    layers = VaryingLayers(
        skin.layers,
        saturation=s,
        dermal_blood=slope * correction * np.exp(-shadow),
        flattening=slope * diameter,
        epidermal_blood=np.zeros((2, slope.size)),
        by_scattering=infinite_scattering_slope,
    )
    return InternallyReflecting(layers.vary(free, held), skin.reflection)


def _calibrated(name: str, summary: str, f_mel: Parameter, f_blood: Parameter) -> SkinModel:
    return SkinModel(
        name=name,
        summary=summary,
        source="constants estimated on 400-700 nm from the International Skin Spectra Archive (Lu et al. 2025); "
        "form after Jacques 1998, 2013, Saunderson 1942, van Veen et al. 2002; Prahl, OMLC",
        wavelength_range=(400.0, 720.0),
        on_bands=partial(_on_bands, name),
        parameters=(f_mel, f_blood),
        extras=(oxygen_saturation(_estimates(name)["oxygen_saturation"]), dermal_scattering(), EPIDERMIS),
        varying=partial(_varying, name),
    )


_MELANIN, _BLOOD = "melanosome volume fraction of the epidermis", "blood volume fraction of the dermis"
MSFIT_ISSA_2025 = add_model(
    _calibrated(
        "msfit-issa-2025",
        "two layers in consistent units, blood in vessels, internal reflection; calibrated on measured faces",
        Parameter("f_mel", "1", _MELANIN, (0.0, 0.43), (0.013, 0.43), 0.10),
        Parameter("f_blood", "1", _BLOOD, (0.0, 0.07), (0.001, 0.07), 0.01),
    )
)
# f_mel: 0.43 is the darkest skin of S. L. Jacques, Skin optics, OMLC News 1998, and the scale of the melanosomes is
# chosen so that the darkest persons of the archive lie inside. f_blood: 0.12 is more than twice what 0.07 is on the
# scale of 2025, for dilated vessels and mucosa: there skin returns 2-7 % below 600 nm, and more blood changes little.
MSFIT_ISSA_2026 = add_model(
    _calibrated(
        "msfit-issa-2026",
        "the same with corrected blood and scattering, and a scale that reaches dark skin; calibrated anew",
        Parameter("f_mel", "1", _MELANIN, (0.0, 0.43), (0.009, 0.43), 0.07),
        Parameter("f_blood", "1", _BLOOD, (0.0, 0.12), (0.001, 0.12), 0.01),
    )
)
