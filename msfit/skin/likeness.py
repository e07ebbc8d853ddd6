"""Is it skin: how far a spectrum lies from measured facial skin, as a share of the archive's persons.

About each of eight tones of skin the logarithm of reflectance is Gaussian (`msfit.skin.skin_logs`), up to the level of
light, more or less gloss, and a deviation of each band by itself:

    ln y = m_t + x + g / R_t + level + e,   x ~ N(0, C_t),   g ~ N(0, 0.04^2),   e ~ N(0, s^2)

Two things are asked of a spectrum. Its squared Mahalanobis distance to the nearest tone, s = 0.02, may not be larger
than those of persons of the archive's training split; and it has to be likelier as skin than as something smooth of
about the colour of skin: ln y = parabola through m_t + smooth deviations (Gaussian processes of 150, 80 and 40 nm),
s = 0.01.
Smooth brown things, wood, leather, cloth, lie near to the mean of some tone, but lack the bands of blood and more.
Distances on other bands than the archive's are brought to its own by what is to be expected, tr(T^-1 C) of either.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msfit.data.cube import Cube
from msfit.data.status import STATUS_TYPE, Status
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.skin.skin_logs import skin_logs

if TYPE_CHECKING:
    from msfit.data.result import FitResult

TABLE = "skin_likeness.csv"
#: What lies below this share is unlike skin; so few persons of the training split do.
UNLIKE = 0.01
#: Levels of the quantiles that the table has: shares of persons that lie nearer, or are likelier.
LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995)
_BAND, _GLOSS, _LEVEL = 0.02, 0.04, 100.0
_SHARP = 0.01
# Standard deviations of ln y [1] and lengths [nm] of what is smooth.
_SMOOTH = ((0.3, 150.0), (0.2, 80.0), (0.1, 40.0))
_RANGE = (400.0, 700.0)
_FEWEST_BANDS, _LEAST_SPAN = 6, 150.0
# Reflectance below this says nothing.
_DARKEST = 1e-4
_ROWS = 2**16


class _Tones(NamedTuple):
    means: np.ndarray  # (tone, band)
    whitening: np.ndarray  # (tone, band, band): W' W = T^-1
    scale: np.ndarray  # (tone,): brings squared distances to those of the archive's bands


def skin_likeness(cube: Cube | FitResult | np.ndarray, wavelengths: np.ndarray | None = None) -> np.ndarray:
    """How like skin spectra are.

    Parameters
    ----------
    cube : Cube, FitResult or array (..., band)
        Reflectance, under any level of light. Of a picture (y, x, band) a pixel's neighbours lower its noise. Of a
        result what was fitted, where it still holds that.
    wavelengths : array (band,), optional
        Of an array [nm].

    Returns
    -------
    float32 array (...)
        The smaller of two shares of the archive's persons: of those who lie farther from the mean of that tone, and of
        those, in the least favourable class of tone, who are less likely to be skin rather than something smooth. Of
        skin about one in fifty lies below 0.01 (`UNLIKE`). NaN where a band is missing or not positive.

    Raises
    ------
    InputError
        Fewer than 6 bands inside 400-700 nm, or over less than 150 nm of it; a result without its cube.

    Notes
    -----
    Rash, lips, make-up and hair are not what the archive's instrument was held to; they may be unlike skin.

    Examples
    --------
    >>> import msfit
    >>> bands = np.arange(400.0, 701.0, 10.0)
    >>> like = skin_likeness(msfit.reflectance([0.05, 0.1], 0.01, bands), bands)
    >>> (like > 0.01).tolist(), bool(skin_likeness(0.3 + 0 * bands, bands) > 0.01)
    ([True, True], False)
    """
    given = getattr(cube, "cube", cube)
    if given is None:
        raise InputError("cube: this result does not hold what was fitted; give the cube")
    if not isinstance(given, Cube):
        if wavelengths is None:
            raise InputError("wavelengths: are needed beside an array")
        values = np.asarray(given, np.float64)
        given = Cube(values.reshape(-1, values.shape[-1]), wavelengths)
        return skin_likeness(given).reshape(values.shape[:-1])
    inside = inside_range(given.wavelengths)
    part = given.select_bands(inside)
    reflectance, usable = part.rows(slice(0, part.shape[0]))
    known = np.logical_and(usable, reflectance > _DARKEST).all(axis=-1)
    if len(given.shape) == 2:
        reflectance = _smoothed(reflectance, known)
    likeness = np.full(known.shape, np.nan, np.float32)
    likeness[known] = share_farther(reflectance[known], part.wavelengths)
    return likeness


def doubt_unlike_skin(result: FitResult) -> FitResult:
    """The result with `Status.DOUBTFUL` where what was fitted is unlike skin.

    Parameters
    ----------
    result : FitResult
        In memory, with its cube.

    Returns
    -------
    FitResult
        Maps keep their values. `attrs["unlike_skin"]` is the share of the fitted pixels that are doubted.

    Raises
    ------
    InputError
        As of `skin_likeness`.
    """
    unlike = (skin_likeness(result) < UNLIKE) & result.fitted
    status = np.where(unlike, result.status | STATUS_TYPE(Status.DOUBTFUL), result.status)
    share = float(unlike.sum() / max(1, int(result.fitted.sum())))
    return replace(result, status=status, attrs={**result.attrs, "unlike_skin": round(share, 6)})


def share_farther(reflectance: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """Of positive spectra (n, band) on bands inside 400-700 nm, as of `skin_likeness`: float32 (n,)."""
    found = np.empty(len(reflectance), np.float32)
    *distances, odds = _quantiles()
    for start in range(0, len(found), _ROWS):
        rows = reflectance[start : start + _ROWS]
        squares, tone = nearest_tone(rows, wavelengths)
        for number, own in enumerate(distances):
            here = np.flatnonzero(tone == number)
            found[start + here] = _share(squares[here], own)
        less = _share(-log_odds(rows, wavelengths), odds)
        found[start : start + _ROWS] = np.minimum(found[start : start + _ROWS], less)
    return found


def log_odds(reflectance: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """How much likelier spectra (n, band) are as skin than as something smooth: natural logarithms (n,)."""
    as_skin, as_other = _densities(tuple(float(nm) for nm in wavelengths))
    logs = np.log(reflectance).astype(np.float32)
    skin, other = (
        np.stack([lead - 0.5 * np.square((logs - mean) @ root.T).sum(1) for mean, root, lead in group])
        for group in (as_skin, as_other)
    )
    return np.asarray(skin.max(0) - np.logaddexp.reduce(other, 0))


def nearest_tone(reflectance: np.ndarray, wavelengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distance (n,) of spectra (n, band) from the nearest of the tones, in the archive's unit, and which."""
    tones = _tones(tuple(float(nm) for nm in wavelengths))
    logs = np.log(reflectance).astype(np.float32)
    squares = np.stack(
        [
            np.square((logs - mean) @ whitening.T).sum(1) * scale
            for mean, whitening, scale in zip(
                tones.means.astype(np.float32), tones.whitening.astype(np.float32), tones.scale, strict=True
            )
        ]
    )
    return squares.min(0), squares.argmin(0)


def inside_range(wavelengths: np.ndarray) -> np.ndarray:
    """Indices of the bands inside 400-700 nm, or an InputError where they are too few to tell."""
    inside = np.flatnonzero((wavelengths >= _RANGE[0]) & (wavelengths <= _RANGE[1]))
    if inside.size < _FEWEST_BANDS or np.ptp(wavelengths[inside]) < _LEAST_SPAN:
        raise InputError(
            f"wavelengths: {inside.size} bands inside 400-700 nm; expected at least {_FEWEST_BANDS} over"
            f" {_LEAST_SPAN:g} nm, to tell skin from what is none"
        )
    return inside


def can_tell(wavelengths: np.ndarray) -> bool:
    """Whether bands are enough for `skin_likeness`."""
    try:
        return inside_range(wavelengths).size > 0
    except InputError:
        return False


def _smoothed(reflectance: np.ndarray, known: np.ndarray) -> np.ndarray:
    gaussian = need("skimage.filters", "mask").gaussian
    weight = np.maximum(gaussian(known.astype(np.float32), 1), 1e-6)
    filled = np.where(known[..., None], reflectance, 0).astype(np.float32)
    return np.asarray(gaussian(filled, 1, channel_axis=-1) / weight[..., None])


@cache
def _densities(wavelengths: tuple[float, ...]) -> tuple[list[tuple[np.ndarray, np.ndarray, float]], ...]:
    """Of each tone as skin and as something smooth: mean, whitening, logarithm of the density's height."""
    table = skin_logs()
    bands = np.array(wavelengths)
    turn = _turn(bands)
    apart = bands[:, None] - bands
    smooth = sum(size**2 * np.exp(-0.5 * (apart / length) ** 2) for size, length in _SMOOTH)
    # bands that lie closer than the archive's do not count more
    sharp = _SHARP**2 * max(1.0, 10.0 * len(bands) / (np.ptp(bands) + 10.0))
    groups: tuple[list[tuple[np.ndarray, np.ndarray, float]], ...] = ([], [])
    for mean, covariance in zip(table.means, table.covariances, strict=True):
        parabola = np.polyval(np.polyfit(table.wavelengths - 550, mean, 2), bands - 550)
        gloss = np.exp(-(turn @ mean))
        common = sharp * np.eye(len(bands)) + _LEVEL**2 + _GLOSS**2 * np.outer(gloss, gloss)
        for group, centre, spread in zip(
            groups, (turn @ mean, parabola), (turn @ covariance @ turn.T, smooth), strict=True
        ):
            lower = np.linalg.cholesky(spread + common)
            lead = -float(np.log(np.diag(lower)).sum())
            group.append((centre.astype(np.float32), np.linalg.inv(lower).astype(np.float32), lead))
    return groups


def _turn(bands: np.ndarray) -> np.ndarray:
    table = skin_logs()
    return np.stack([np.interp(bands, table.wavelengths, row) for row in np.eye(table.wavelengths.size)], -1)


@cache
def _tones(wavelengths: tuple[float, ...]) -> _Tones:
    table = skin_logs()
    bands = np.array(wavelengths)
    turn = _turn(bands)
    means, whitening, scale = [], [], []
    for mean, covariance in zip(table.means, table.covariances, strict=True):
        whole = _expected(covariance, mean)[0]
        own = turn @ covariance @ turn.T
        expected, root = _expected(own, turn @ mean)
        means.append(turn @ mean)
        whitening.append(root)
        scale.append(whole / expected)
    return _Tones(np.stack(means), np.stack(whitening), np.array(scale))


def _expected(covariance: np.ndarray, mean: np.ndarray) -> tuple[float, np.ndarray]:
    """Expectation of the squared distance, and the whitening."""
    gloss = np.exp(-mean)
    total = covariance + _BAND**2 * np.eye(len(mean)) + _LEVEL**2 + _GLOSS**2 * np.outer(gloss, gloss)
    root = np.linalg.inv(np.linalg.cholesky(total))
    return float(np.trace(root @ covariance @ root.T)), root


@cache
def _quantiles() -> tuple[np.ndarray, ...]:
    """Of each tone the squared distances at `LEVELS`, from the table of ``scripts/build_skin_likeness.py``."""
    text = resources.files("msfit.skin").joinpath("data", TABLE).read_text(encoding="ascii")
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    return tuple(np.array(row[2:], np.float64) for row in rows[1:])


def _share(squares: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Share that lies farther; beyond the last quantile it falls off as between the last two."""
    farther = 1 - np.array(LEVELS)
    share = np.interp(squares, quantiles, farther)
    fall = np.log(farther[-2] / farther[-1]) / max(quantiles[-1] - quantiles[-2], 1e-9)
    beyond = np.maximum(squares - quantiles[-1], 0)
    return np.asarray(share * np.exp(-fall * beyond))
