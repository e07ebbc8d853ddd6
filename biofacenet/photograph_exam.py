"""Figures on the second exam: bias by skin tone, repeatability, rank, spots, stated deviations, beside plain pixels.

In: photographs with truth (`msfit.synth.write_photographs`) and an estimator, a function of a picture. Out: `Figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr
from torch import Tensor

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from biofacenet.networks.gaussian import covariance
from biofacenet.networks.network import Prediction
from biofacenet.prediction import Model
from msfit.colour.transforms import decode_srgb, linear_srgb_to_xyz, xyz_to_lab
from msfit.errors import InputError
from msfit.synth.people import ITA_CLASSES
from msfit.synth.photographs import Photograph, read_photograph
from msfit.synth.spectra import WAVELENGTHS
from msfit.synth.truth import fitted_pigments

# A spot counts where it adds this absorbance, and is compared with a ring of so many pixels around it.
_SPOT, _GAP, _RING = 0.2, 2, 4
_FEWEST_PIXELS = 12
_RESAMPLES = 2000


class Estimate(NamedTuple):
    """What an estimator says of a photograph: maps (y, x)."""

    f_mel: np.ndarray
    f_blood: np.ndarray
    i_d: np.ndarray
    i_s: np.ndarray
    """Gloss alone, without the skin model's misfit."""
    std: np.ndarray | None = None
    """Standard deviation of f_mel."""


#: From the sRGB picture, uint8 (y, x, 3), and the mask of the face to maps.
Estimator = Callable[[np.ndarray, np.ndarray], Estimate]


@dataclass(frozen=True)
class Figures:
    """What `examine` finds; f_mel is that of the face's pixels, of a face their mean.

    Attributes
    ----------
    photographs, persons : int
    skin_model : str
        In whose terms truth is.
    bias : dict of str to (value, low, high)
        Mean estimate over mean truth, less 1, for each class of tone; its 95 % interval over persons drawn anew.
    rmse : dict of str to float
        Of pixels of each class, and "all".
    icc : float
        Of the faces' f_mel between the pictures of a person: intraclass correlation ICC(1, 1).
    icc_of_pixels : float
        The same of the typology angle of the face's mean colour in the picture, whatever light and camera.
    rank, rank_of_pixels : float
        Spearman's correlation of faces' f_mel with truth, and of that typology angle (its sign turned).
    spots : int
        Photographs with spots that are seen.
    spot_contrast : float
        Slope, through zero, of the estimated contrast f_mel(spot) / f_mel(ring) - 1 on the true one.
    spot_in_i_d : float
        Share of the spots' contrast in log luminance that is in the estimated i_d and not in the true one.
    coverage : float or None
        Share of pixels within one stated standard deviation of truth.
    crossed_i_s : float or None
        Median i_s over i_d where there is no gloss.
    """

    photographs: int
    persons: int
    skin_model: str
    bias: dict[str, tuple[float, float, float]]
    rmse: dict[str, float]
    icc: float
    icc_of_pixels: float
    rank: float
    rank_of_pixels: float
    spots: int
    spot_contrast: float
    spot_in_i_d: float
    coverage: float | None
    crossed_i_s: float | None

    @property
    def worst_bias(self) -> float:
        """Largest bias of a class, without its sign."""
        return max(abs(value) for value, _, _ in self.bias.values())

    @property
    def worst_rmse(self) -> float:
        """Largest RMSE of a class over the mean of the classes'; 1 where none errs."""
        classes = [value for name, value in self.rmse.items() if name != "all"]
        mean = sum(classes) / len(classes)
        return max(classes) / mean if mean > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "worst_bias": self.worst_bias, "worst_rmse": self.worst_rmse}

    def __str__(self) -> str:
        lines = [f"{self.photographs} photographs of {self.persons} persons, truth by {self.skin_model}"]
        for name, (value, low, high) in self.bias.items():
            lines.append(f"{name:>14}: bias {value:+.1%} ({low:+.1%} to {high:+.1%}), RMSE {self.rmse[name]:.4f}")
        told = "-" if self.coverage is None else f"{self.coverage:.0%}"
        lines += [
            f"RMSE {self.rmse['all']:.4f}; worst class {self.worst_rmse:.2f} of the classes' mean",
            f"ICC {self.icc:.2f} (plain pixels {self.icc_of_pixels:.2f}), rank {self.rank:.2f}"
            f" (plain pixels {self.rank_of_pixels:.2f})",
            f"spots, {self.spots} photographs: {self.spot_contrast:.0%} of melanin, {self.spot_in_i_d:.0%} in i_d",
            f"within one standard deviation: {told}",
        ]
        if self.crossed_i_s is not None:
            lines.append(f"i_s over i_d under crossed polarisers: median {self.crossed_i_s:.3f}")
        return "\n".join(lines)


def fraction_std(found: Prediction) -> Tensor:
    """Standard deviation of f_mel, (n, 1, y, x), of a network that tells covariances."""
    assert found.precision is not None
    variance = covariance(found.precision)[..., 0, 0]
    # df/dm of f = f_max u^3
    u = (fractions(found.m_mel, 1.0)) ** (1 / 3)
    slope = HIGHEST_FRACTIONS[0] * 3 * u**2 * 0.99 / 2
    return slope * variance.sqrt()[:, None].to(slope)


def of_network(model: Model) -> Estimator:
    """The network alone, on the whole picture."""

    @torch.inference_mode()
    def estimate(rgb: np.ndarray, mask: np.ndarray) -> Estimate:
        light = decode_srgb(torch.from_numpy(rgb.astype(np.float32) / 255)).permute(2, 0, 1)[None]
        found = model.decompose(light)
        f_mel, f_blood = (
            fractions(values, most)[0, 0].numpy()
            for values, most in zip((found.m_mel, found.m_blood), HIGHEST_FRACTIONS, strict=True)
        )
        std = None if found.precision is None else fraction_std(found)[0, 0].numpy()
        gloss = found.i_s
        if found.scale is not None and found.offset is not None:
            gloss = (gloss - found.i_d * found.offset / found.scale.clamp(min=0.05)).clamp(min=0)
        return Estimate(f_mel, f_blood, found.i_d[0, 0].numpy(), gloss[0, 0].numpy(), std)

    return estimate


def examine(folder: str | Path, estimator: Estimator, skin_model: str, *, seed: int = 0) -> Figures:
    """Score an estimator on the photographs of a folder.

    Parameters
    ----------
    folder : str or Path
        As `msfit synth --photographs` writes it.
    estimator : callable (rgb, mask) -> Estimate
    skin_model : str
        The one in whose terms it answers: truth is the fit of the true reflectance by it, in `wide` bounds.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        No photographs there, or fewer than two of a person.
    """
    rows = [_row(one, estimator(one.picture, one.mask), skin_model) for one in _photographs(Path(folder))]
    sitters = np.array([row["sitter"] for row in rows])
    persons, counts = np.unique(sitters, return_counts=True)
    if len(persons) < 2 or counts.min() < 2:
        raise InputError(f"{folder}: expected photographs of two persons or more, two or more of each")
    tones = np.array([row["ita_class"] for row in rows])
    rng = np.random.default_rng(seed)
    truth, found = (np.array([row[name] for row in rows]) for name in ("truth", "found"))
    bias, rmse = {}, {"all": _root([row["squares"] for row in rows])}
    for tone in ITA_CLASSES:
        if (tones == tone).any():
            bias[tone] = _bias(found, truth, sitters, tones == tone, rng)
            rmse[tone] = _root([row["squares"] for row in rows if row["ita_class"] == tone])
    angle = np.array([row["angle"] for row in rows])
    spots = [row["spot"] for row in rows if row["spot"] is not None]
    true_contrast, contrast, dark, in_i_d = np.array(spots).reshape(-1, 4).T
    within = [row["within"] for row in rows if row["within"] is not None]
    crossed = [row["i_s"] for row in rows if row["crossed"]]
    return Figures(
        photographs=len(rows),
        persons=len(persons),
        skin_model=skin_model,
        bias=bias,
        rmse=rmse,
        icc=intraclass(found, sitters),
        icc_of_pixels=intraclass(angle, sitters),
        rank=float(spearmanr(found, truth).statistic),
        rank_of_pixels=float(spearmanr(-angle, truth).statistic),
        spots=len(spots),
        spot_contrast=float((contrast * true_contrast).sum() / max(float((true_contrast**2).sum()), 1e-12)),
        spot_in_i_d=float((in_i_d * dark).sum() / max(float((dark**2).sum()), 1e-12)),
        coverage=float(np.mean(np.concatenate(within))) if within else None,
        crossed_i_s=float(np.median(np.concatenate(crossed))) if crossed else None,
    )


def typology_of_rgb(rgb: np.ndarray) -> float:
    """Individual typology angle ``atan2(L* - 50, b*)`` [degrees] of a colour in linear sRGB (3,), white = 1."""
    level, _, b = xyz_to_lab(linear_srgb_to_xyz(torch.from_numpy(np.asarray(rgb, np.float64)))).tolist()
    return float(np.degrees(np.arctan2(level - 50, b)))


def intraclass(values: np.ndarray, groups: np.ndarray) -> float:
    """Intraclass correlation ICC(1, 1) of values (n,) in groups (n,): share of variance that is between groups.

    ``(B - W) / (B + (k - 1) W)``, B and W the mean squares between and within groups, k the size of groups (P. Shrout,
    J. Fleiss, Psychol Bull 86, 420, 1979); of unequal groups, the mean size weighted as of analysis of variance.
    """
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    total, count = len(values), len(names)
    means = np.bincount(index, values) / sizes
    between = float((sizes * (means - values.mean()) ** 2).sum() / (count - 1))
    within = float(((values - means[index]) ** 2).sum() / (total - count))
    size = (total - float((sizes**2).sum()) / total) / (count - 1)
    return (between - within) / (between + (size - 1) * within)


def _photographs(folder: Path) -> Iterator[Photograph]:
    paths = sorted(path.with_name(path.name.replace("_truth.nc", ".png")) for path in folder.glob("*_truth.nc"))
    if not paths:
        raise InputError(f"{folder}: holds no photographs with truth; build them with `msfit synth --photographs`")
    for path in paths:
        yield read_photograph(path)


def _row(one: Photograph, estimate: Estimate, skin_model: str) -> dict[str, Any]:
    mask = one.mask
    truth = fitted_pigments(one.reflectance, WAVELENGTHS, skin_model, "float32")
    true_mel, found = truth["f_mel"], estimate.f_mel[mask]
    error = found - true_mel
    std = None if estimate.std is None else estimate.std[mask]
    colour = typology_of_rgb(_linear(one.picture)[mask].mean(axis=0))
    return {
        "sitter": one.attrs["sitter"],
        "ita_class": one.attrs["ita_class"],
        "truth": float(true_mel.mean()),
        "found": float(found.mean()),
        "squares": error**2,
        "angle": colour,
        "spot": _spot(one, estimate, true_mel, truth["scale"]),
        "within": None if std is None else np.abs(error) <= std,
        "crossed": str(one.attrs["gloss"]).startswith("none"),
        "i_s": estimate.i_s[mask] / np.maximum(estimate.i_d[mask], 1e-6),
    }


def _spot(one: Photograph, estimate: Estimate, true_mel: np.ndarray, scale: np.ndarray) -> tuple[float, ...] | None:
    """Contrast of f_mel, true and found; of log luminance; and of log i_d beyond its true one. None without spots."""
    spot = (one.spots > _SPOT) & one.mask
    ring = binary_dilation(spot, iterations=_GAP + _RING) & ~binary_dilation(one.spots > 0.05, iterations=_GAP)
    ring &= one.mask
    if min(spot.sum(), ring.sum()) < _FEWEST_PIXELS:
        return None
    sheet, diffuse = np.full(one.mask.shape, np.nan), np.full(one.mask.shape, np.nan)
    sheet[one.mask], diffuse[one.mask] = true_mel, scale * one.i_d[one.mask]
    luminance = _linear(one.picture) @ [0.2126, 0.7152, 0.0722]

    def contrast(values: np.ndarray) -> float:
        return float(values[spot].mean() / max(float(values[ring].mean()), 1e-6))

    dark = float(np.log(max(contrast(luminance), 1e-3)))
    in_i_d = float(np.log(max(contrast(estimate.i_d), 1e-3)) - np.log(max(contrast(diffuse), 1e-3)))
    return contrast(sheet) - 1, contrast(estimate.f_mel) - 1, dark, in_i_d


def _linear(picture: np.ndarray) -> np.ndarray:
    return decode_srgb(torch.from_numpy(picture.astype(np.float64) / 255)).numpy()


def _bias(
    found: np.ndarray, truth: np.ndarray, sitters: np.ndarray, own: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean over mean, less 1, and its interval over persons drawn with replacement."""
    names = np.unique(sitters[own])
    sums = np.array([[found[own & (sitters == n)].sum(), truth[own & (sitters == n)].sum()] for n in names])
    drawn = sums[rng.integers(len(names), size=(_RESAMPLES, len(names)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1] - 1, [0.025, 0.975])
    return float(sums[:, 0].sum() / sums[:, 1].sum() - 1), float(low), float(high)


def _root(parts: list[np.ndarray]) -> float:
    return float(np.sqrt(np.concatenate(parts).mean()))
