"""The score of a decomposed face: six RMSEs, as in Table 1 of Alotaibi & Smith, BMVC 2019.

The paper leaves open in which unit pigments are compared and whether shading is brought to scale first: both are
arguments here, and belong beside every figure.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.metrics.measures import best_scale, compared, rmse

#: The columns of Table 1, in its order.
COLUMNS = ("diffuse", "specular", "albedo", "melanin", "haemoglobin", "reconstruction")
#: Units of the pigments: m of the network's heads, linear on [-1, 1], or volume fractions.
PIGMENT_UNITS = ("heads", "linear", "fraction")
#: Shading as it is, brought to scale by one factor a scene, or by one factor a map.
SHADING_SCALES = ("none", "scene", "map")

# Largest fractions of the network's heads (f_mel, f_blood), Alotaibi & Smith, BMVC 2019, and their released code.
_LARGEST = {"f_mel": 0.43, "f_blood": 0.07}
# By which a fraction of single precision may leave 0..1.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A face taken apart, or the truth about it. A map that a method does not give is None.

    Attributes
    ----------
    i_d, i_s : float array (y, x), optional
        Diffuse and specular shading [1].
    albedo : float array (y, x, 3), optional
        Skin under D65 without shading, linear sRGB, white = 1.
    f_mel, f_blood : float array (y, x), optional
        Volume fractions of melanosomes in the epidermis and of blood in the dermis [1].
    picture : float array (y, x, 3), optional
        Linear RGB: of an estimate the reconstruction, of truth the picture that was given.
    """

    i_d: np.ndarray | None = None
    i_s: np.ndarray | None = None
    albedo: np.ndarray | None = None
    f_mel: np.ndarray | None = None
    f_blood: np.ndarray | None = None
    picture: np.ndarray | None = None

    def maps(self) -> dict[str, np.ndarray]:
        """The maps that there are, by name."""
        by_name = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in by_name.items() if values is not None}

    def each(self, function: Any) -> Decomposition:
        """The decomposition with `function` applied to each of its maps."""
        return replace(self, **{name: function(values) for name, values in self.maps().items()})


def decomposition_rmse(
    estimate: Decomposition,
    truth: Decomposition,
    mask: np.ndarray | None = None,
    *,
    shading_scale: str = "scene",
    pigments: str = "heads",
    missing: str = "refuse",
) -> dict[str, float | None]:
    """RMSE of the six columns of Table 1.

    Parameters
    ----------
    estimate, truth : Decomposition
        Maps of the same size.
    mask : bool array (y, x), optional
        The face: True where to compare.
    shading_scale : {"scene", "map", "none"}
        Multiply the estimate's i_d and i_s by the factors of `shading_scales` first.
    pigments : {"heads", "linear", "fraction"}
        See `in_unit`.
    missing : {"refuse", "omit"}
        What to do where the estimate is not finite and the truth is: an estimate that says nothing of hard pixels is
        flattered when they are left out, so whoever omits them reports how many remain (see `compared`).

    Returns
    -------
    dict of str to float or None
        For each of `COLUMNS`; None where either has no such map. Pixels of which the truth says nothing are left out.

    Raises
    ------
    InputError
        Shapes that do not match; an unknown choice; no pixel to compare; pigments that are no fractions; an estimate
        that is not finite, unless `missing` omits it.

    References
    ----------
    S. Alotaibi, W. A. P. Smith, "BioFaceNet: Deep biophysical face image interpretation", BMVC 2019, Table 1.

    Examples
    --------
    Score a method of your own on a scene with known maps:

    >>> import numpy as np
    >>> from msfit.metrics import Decomposition, decomposition_rmse
    >>> face = np.ones((64, 64), dtype=bool)
    >>> truth = Decomposition(i_d=np.full((64, 64), 0.8), f_mel=np.full((64, 64), 0.10))
    >>> mine = Decomposition(i_d=np.full((64, 64), 0.4), f_mel=np.full((64, 64), 0.12))
    >>> score = decomposition_rmse(mine, truth, face, shading_scale="none", pigments="fraction")
    >>> round(score["diffuse"], 6), round(score["melanin"], 6), score["specular"]
    (0.4, 0.02, None)
    >>> decomposition_rmse(mine, truth, face, shading_scale="map", pigments="fraction")["diffuse"]
    0.0
    """
    check_choices(shading_scale, pigments)
    if missing not in ("refuse", "omit"):
        raise InputError(f"missing: found {missing!r}; expected refuse or omit")
    for whose, maps in (("estimate", estimate), ("truth", truth)):
        if not isinstance(maps, Decomposition):
            raise InputError(f"{whose}: found {type(maps).__name__}; expected a msfit.metrics.Decomposition")
        for name in _LARGEST:
            _check_fraction(f"{whose}.{name}", getattr(maps, name), mask)
    if missing == "refuse":
        _check_finite(estimate, truth, mask)
    scale_d, scale_s = shading_scales(estimate, truth, mask, shading_scale)
    pairs: dict[str, tuple[Any, Any]] = {
        "diffuse": (_scaled(estimate.i_d, scale_d), truth.i_d),
        "specular": (_scaled(estimate.i_s, scale_s), truth.i_s),
        "albedo": (estimate.albedo, truth.albedo),
        "melanin": tuple(in_unit("f_mel", one.f_mel, pigments) for one in (estimate, truth)),
        "haemoglobin": tuple(in_unit("f_blood", one.f_blood, pigments) for one in (estimate, truth)),
        "reconstruction": (estimate.picture, truth.picture),
    }
    return {
        name: None if computed is None or reference is None else float(rmse(computed, reference, mask))
        for name, (computed, reference) in pairs.items()
    }


def shading_scales(
    estimate: Decomposition, truth: Decomposition, mask: np.ndarray | None = None, how: str = "scene"
) -> tuple[float, float]:
    """Factors for the estimate's i_d and i_s: least squares without intercept over the face, never below 0.

    Parameters
    ----------
    estimate, truth : Decomposition
    mask : bool array (y, x), optional
    how : {"scene", "map", "none"}
        One factor for both maps together, as the light's strength would make it; one for each; or none.

    Returns
    -------
    (float, float)
        1 where a map is missing.
    """
    maps = [(estimate.i_d, truth.i_d), (estimate.i_s, truth.i_s)]
    if how == "none":
        return 1.0, 1.0
    if how == "map":
        factors = [1.0 if a is None or b is None else max(0.0, float(best_scale(a, b, mask))) for a, b in maps]
        return factors[0], factors[1]
    pairs = [(a, b) for a, b in maps if a is not None and b is not None]
    if not pairs:
        return 1.0, 1.0
    # a pixel counts where it can be compared in all the maps, so that both weigh the same
    comparable = np.logical_and.reduce([compared(a, b, mask) for a, b in pairs])
    first, second = (np.concatenate([np.asarray(pair[i])[comparable] for pair in pairs]) for i in (0, 1))
    scale = max(0.0, float(best_scale(first, second)))
    return scale, scale


def in_unit(name: str, fraction: Any, unit: str) -> Any:
    """A pigment's volume fraction in the unit in which it is compared.

    Parameters
    ----------
    name : {"f_mel", "f_blood"}
    fraction : float array (...) or None
        Volume fraction [1].
    unit : {"heads", "linear", "fraction"}
        "heads": m in [-1, 1] of BioFaceNet's pigment heads, where f = f_max u^3, u = 0.01 + 0.99 (m + 1) / 2, with
        f_max 0.43 and 0.07. A fraction of zero is m = -1.02. "linear": 2 f / f_max - 1. "fraction": as it is.

    Returns
    -------
    float array (...), or None for None
    """
    if fraction is None or unit == "fraction":
        return fraction
    share = np.asarray(fraction, dtype=np.float64) / _LARGEST[name]
    return 2 * (np.cbrt(share) - 0.01) / 0.99 - 1 if unit == "heads" else 2 * share - 1


def check_choices(shading_scale: str, pigments: str) -> None:
    """Raise an InputError for a choice that does not exist."""
    if shading_scale not in SHADING_SCALES:
        raise InputError(f"shading_scale: found {shading_scale!r}; expected one of {', '.join(SHADING_SCALES)}")
    if pigments not in PIGMENT_UNITS:
        raise InputError(f"pigments: found {pigments!r}; expected one of {', '.join(PIGMENT_UNITS)}")


def _check_fraction(name: str, values: Any, mask: Any) -> None:
    if values is None:
        return
    given = np.asarray(values, dtype=np.float64)
    inside = given[compared(given, given, mask)]
    if inside.size and not -_ROUNDING <= inside.min() <= inside.max() <= 1 + _ROUNDING:
        raise InputError(
            f"{name}: found values from {inside.min():g} to {inside.max():g}; expected volume fractions, 0 to 1,"
            " whatever unit they are compared in"
        )


def _check_finite(estimate: Decomposition, truth: Decomposition, mask: Any) -> None:
    true_maps = truth.maps()
    for name, values in estimate.maps().items():
        if name in true_maps:
            in_truth = compared(true_maps[name], true_maps[name], mask)
            lost = int(in_truth.sum() - compared(values, true_maps[name], mask).sum())
            if lost:
                raise InputError(
                    f"estimate.{name}: {lost} of {in_truth.sum()} values on the face are not finite; expected numbers"
                    ' wherever the truth has them, or missing="omit"'
                )


def _scaled(values: np.ndarray | None, factor: float) -> np.ndarray | None:
    return None if values is None else factor * np.asarray(values, dtype=np.float64)
