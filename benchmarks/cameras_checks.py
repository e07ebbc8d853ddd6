"""Are fits in channels global, do their standard deviations cover, how fast are they? Parts of `benchmarks.cameras`.

oracle: 2,000 pixels a camera, of the published formulas integrated at 1 nm and with noise, against a grid of pigments
with the shadings by trial of all faces of their bounds, then scipy in all free numbers, from the best node of each
component of a prior. Nothing of msfit but the extinction tables is in it. Where all four numbers are free, certificates
are asked for too: no proved bound may lie above what scipy reaches. coverage: numbers that are drawn, of a fit
with a prior from that prior, lie within one standard deviation of the estimate so often. speed: processor time a pixel
in single precision on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import least_squares

import msfit
from benchmarks.reference_skin import ReferenceSkin
from msfit.data.prior import NUMBERS
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.skin.prior import archive_prior

_GAUSSIAN = msfit.Channels.gaussian
_REFERENCE, _CALIBRATED = "alotaibi-smith-2019", DEFAULT_MODEL
_ORACLE_PRIOR = "msfit-issa-2025"  # some density: the oracle's model is the reference
_NM = np.arange(400.0, 721.0)
_WIDE = ((0.0, 0.43), (0.0, 0.07), (0.0, np.inf), (0.0, np.inf))
_NOISE = 0.003
LEDS, FOUR = _GAUSSIAN([450, 505, 545, 577, 620, 660], 20), _GAUSSIAN([450, 545, 577, 660], 20)
MOSAIC, FILTERS = _GAUSSIAN(np.linspace(440, 680, 16), 30), _GAUSSIAN(np.linspace(440, 680, 8), 20)
RGB = _GAUSSIAN([470, 530, 600], 60)
GAUSSIAN_PRIOR = {"f_mel": (0.12, 0.08), "f_blood": (0.03, 0.012), "i_s": (0.03, 0.02)}


@dataclass(frozen=True)
class Setting:
    """Channels with bounds of the four numbers (equal ends hold one), and perhaps a prior."""

    channels: msfit.Channels
    bounds: tuple[tuple[float, float], ...] = _WIDE
    prior: Any = None

    @property
    def options(self) -> dict[str, Any]:
        """As `msfit.fit` takes them."""
        pairs = dict(zip(NUMBERS, self.bounds, strict=True))
        held = {name: low for name, (low, high) in pairs.items() if low == high}
        bounds = {name: ends for name, ends in pairs.items() if name not in held}
        prior = {} if self.prior is None else {"prior": self.prior, "noise": _NOISE}
        return {"channels": self.channels, "hold": held, "bounds": bounds, **prior}


SETTINGS = {
    "16 channels": Setting(MOSAIC),
    "8 filters": Setting(FILTERS),
    "6 LEDs": Setting(LEDS),
    "6 LEDs, i_s held at 0": Setting(LEDS, (*_WIDE[:3], (0.0, 0.0))),
    "4 LEDs, i_s held at 0": Setting(FOUR, (*_WIDE[:3], (0.0, 0.0))),
    "RGB, i_d held at 0.8": Setting(RGB, (*_WIDE[:2], (0.8, 0.8), _WIDE[3])),
    "6 LEDs, i_d in 0.5-0.7, i_s in 0-0.02": Setting(LEDS, (*_WIDE[:2], (0.5, 0.7), (0.0, 0.02))),
    "RGB, Gaussian prior": Setting(RGB, prior=msfit.SkinPrior.of(GAUSSIAN_PRIOR)),
    "RGB, the archive's prior": Setting(RGB, prior=archive_prior(_ORACLE_PRIOR)),
    "4 LEDs, the archive's prior with i_d": Setting(FOUR, prior=archive_prior(_ORACLE_PRIOR, contact=True)),
}


class Oracle:
    """The objective of a setting from its definition, in units of reflectance squared, and its least value."""

    def __init__(self, setting: Setting) -> None:
        self.skin, self.bounds = ReferenceSkin(_REFERENCE, _NM), np.array(setting.bounds)
        rows = np.stack([np.interp(_NM, setting.channels.wavelengths, r, 0, 0) for r in setting.channels.responses])
        self.rows = rows / rows.sum(1, keepdims=True)
        self.white, self.parts = np.eye(len(rows)), [(np.zeros(4), np.zeros((0, 4)), 0.0)]
        if setting.prior is not None:
            self._with(setting.prior)
        u = np.linspace(0, 1, 41) ** 1.5
        axes = [low + (high - low) * u if high > low else np.array([low]) for low, high in self.bounds[:2]]
        self.x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        self.colours = self.skin(self.x[:, 0], self.x[:, 1]) @ self.rows.T

    def _with(self, prior: msfit.SkinPrior) -> None:
        noise = _NOISE**2 * np.eye(len(self.rows))
        if prior.residual is not None:
            assert prior.wavelengths is not None
            known = (prior.wavelengths[0] <= _NM) & (prior.wavelengths[-1] >= _NM)
            weights = self.rows[:, known] / self.rows[:, known].sum(1, keepdims=True)
            each = np.eye(len(prior.wavelengths))
            seen = weights @ np.stack([np.interp(_NM[known], prior.wavelengths, row) for row in each], 1)
            noise = noise + seen @ prior.residual @ seen.T
        self.white = _NOISE * np.linalg.inv(np.linalg.cholesky(noise))
        single = prior.shares is None
        shares = np.ones(1) if prior.shares is None else prior.shares
        means, covariances = (part[None] if single else part for part in (prior.mean, prior.covariance))
        self.parts = []
        for share, mean, covariance in zip(shares, means, covariances, strict=True):
            places = [NUMBERS.index(name) for name in prior.names]
            pull, middle = np.zeros((len(places), 4)), np.zeros(4)
            pull[:, places] = _NOISE * np.linalg.inv(np.linalg.cholesky(covariance))
            middle[places] = mean
            constant = 0.0 if single else np.linalg.slogdet(covariance)[1] - 2 * np.log(share)
            self.parts.append((middle, pull, float(_NOISE**2 * constant)))

    def residual(self, pixel: np.ndarray, part: int) -> Callable[[np.ndarray], np.ndarray]:
        """Of one pixel, as a function of all four numbers."""
        mean, pull, _ = self.parts[part]

        def residual(v: np.ndarray) -> np.ndarray:
            model = v[2] * (self.rows @ self.skin(v[0], v[1])) + v[3]
            return np.concatenate((self.white @ (pixel - model), pull @ (v - mean)))

        return residual

    def value(self, pixel: np.ndarray, v: np.ndarray) -> float:
        """The objective at v, of the component that is least there.

        Without diffuse light pigments are unknown (NaN), and matter to a prior alone, which is least at their mean
        given the shadings.
        """
        known = [_completed(v, mean, pull) for mean, pull, _ in self.parts]
        costs = (float((self.residual(pixel, k)(known[k]) ** 2).sum()) + part[2] for k, part in enumerate(self.parts))
        return min(costs)

    def least(self, pixels: np.ndarray) -> np.ndarray:
        """The least objective (n,) that scipy reaches from the best nodes."""
        found = np.full(len(pixels), np.inf)
        free = np.flatnonzero(self.bounds[:, 0] < self.bounds[:, 1])
        low, high = self.bounds[free].T
        unit = np.array([0.1, 0.02, 1.0, 0.1])[free]
        for k, (_, _, constant) in enumerate(self.parts):
            starts = self._starts(pixels, k)
            for n, (pixel, start) in enumerate(zip(pixels, starts, strict=True)):
                residual = self.residual(pixel, k)

                def some(z: np.ndarray, start: np.ndarray = start, residual: Any = residual) -> np.ndarray:
                    v = start.copy()
                    v[free] = z
                    return np.asarray(residual(v))

                inside = np.clip(start[free], low + 1e-12, np.where(np.isfinite(high), high - 1e-12, high))
                end = least_squares(some, inside, bounds=(low, high), x_scale=unit, xtol=1e-14, ftol=1e-14, gtol=1e-14)
                found[n] = min(found[n], 2 * end.cost + constant, float((residual(start) ** 2).sum()) + constant)
        return found

    def _starts(self, pixels: np.ndarray, part: int) -> np.ndarray:
        """Best nodes with their best shadings (n, 4): every face of the bounds is tried."""
        mean, pull, _ = self.parts[part]
        r, one, y = self.colours @ self.white.T, self.white.sum(1), pixels @ self.white.T
        left = (pull @ mean) - self.x @ pull[:, :2].T
        d, s = pull[:, 2], pull[:, 3]
        dd, ds, ss = (r * r).sum(1) + d @ d, r @ one + d @ s, one @ one + s @ s
        constant = (left * left).sum(1)
        (low_d, high_d), (low_s, high_s) = self.bounds[2:]
        best = np.empty((len(pixels), 4))
        for n, pixel in enumerate(y):
            yd, ys = r @ pixel + left @ d, one @ pixel + left @ s
            with np.errstate(all="ignore"):
                free_d = (ss * yd - ds * ys) / (dd * ss - ds * ds)
                tries = [(free_d, (ys - ds * free_d) / ss)]
                for end in (low_d, high_d):
                    tries.append((np.full_like(yd, end), np.clip((ys - ds * end) / ss, low_s, high_s)))
                for end in (low_s, high_s):
                    tries.append((np.clip((yd - ds * end) / dd, low_d, high_d), np.full_like(yd, end)))
                i_d, i_s = (np.stack(parts) for parts in zip(*tries, strict=True))
                cost = dd * i_d**2 + 2 * ds * i_d * i_s + ss * i_s**2 - 2 * (yd * i_d + ys * i_s) + constant
            inside = (i_d >= low_d) & (i_d <= high_d) & (i_s >= low_s) & (i_s <= high_s)
            cost = np.where(inside & np.isfinite(cost), cost, np.inf)
            face, node = np.unravel_index(cost.argmin(), cost.shape)
            best[n] = *self.x[node], i_d[face, node], i_s[face, node]
        return best


def _completed(v: np.ndarray, mean: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Numbers (4,) with those that are unknown (NaN) where a prior, whose residual is pull (v - mean), is least."""
    unknown = ~np.isfinite(v)
    away = np.where(unknown, 0.0, v - mean)
    if unknown.any() and len(pull):
        away[unknown] = np.linalg.lstsq(pull[:, unknown], -pull @ away, rcond=None)[0]
    return np.asarray(mean + away)


def oracle(quick: bool, only: str = "") -> dict[str, Any]:
    """How far msfit's minima lie above the oracle's, in the objective."""
    count = 20 if quick else 2000
    rng = np.random.default_rng(11)
    x = rng.uniform((0.01, 0.005, 0.4, 0.0), (0.35, 0.06, 1.1, 0.08), (count, 4))
    spectra = x[:, 2:3] * ReferenceSkin(_REFERENCE, _NM)(x[:, 0], x[:, 1]) + x[:, 3:]
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if only not in name:
            continue
        began, reference = time.process_time(), Oracle(setting)
        y = spectra @ reference.rows.T
        y = y + 0.02 * np.random.default_rng(12).standard_normal(y.shape)
        fit = msfit.fit(y, model=_REFERENCE, dtype="float64", **setting.options)
        v = np.stack([np.asarray(getattr(fit, number), np.float64) for number in NUMBERS], -1)
        ours = np.array([reference.value(pixel, number) for pixel, number in zip(y, v, strict=True)])
        least = reference.least(y)
        above = (ours - least)[fit.fitted]  # noise may leave dark skin no light at all
        found[name] = {
            "pixels": above.size,
            "worst": float(f"{above.max():.2g}"),
            "worse by 1e-8": int((above > 1e-8).sum()),
            "scipy worse by 1e-8": int((above < -1e-8).sum()),
            "not converged": int(sum(n for s, n in fit.counts().items() if msfit.Status.NOT_CONVERGED in s)),
        }
        if setting.bounds == _WIDE and setting.prior is None:
            found[name]["certificate"] = _proved(y, least, setting)
        print(name, found[name], f"{time.process_time() - began:.0f} s", flush=True)
    return found


def _proved(y: np.ndarray, least: np.ndarray, setting: Setting) -> dict[str, Any]:
    """Pixels whose fit is proved global within 1e-5 in RMSE, and the largest excess of its bound over scipy's RMSE."""
    fit = msfit.fit(y, model=_REFERENCE, dtype="float64", certify=True, **setting.options)
    assert fit.gap is not None
    known = fit.fitted
    beyond = (fit.rmse - fit.gap - np.sqrt(least / y.shape[1]))[known]
    return {
        "proved": round(float((fit.gap[known] <= 1e-5).mean()), 4),
        "largest gap": float(f"{fit.gap[known].max():.2g}"),
        "bound above scipy": float(f"{max(beyond.max(), 0.0):.2g}"),
    }


def coverage(quick: bool) -> dict[str, Any]:
    """Shares of drawn numbers within one standard deviation, of pixels whose estimate lies inside the bounds."""
    count = 300 if quick else 20_000
    contact = archive_prior(_CALIBRATED, contact=True)
    found = {}
    rigs: tuple[tuple[str, msfit.Channels, dict[str, float], msfit.SkinPrior | None], ...] = (
        ("16 channels", MOSAIC, {}, None),
        ("8 filters", FILTERS, {}, None),
        ("6 LEDs", LEDS, {}, None),
        ("6 LEDs, i_s held at 0", LEDS, {"i_s": 0.0}, None),
        ("RGB, Gaussian prior", RGB, {}, msfit.SkinPrior.of({**GAUSSIAN_PRIOR, "i_d": (0.8, 0.1)})),
        ("RGB, the archive's prior with i_d", RGB, {}, contact),
        ("4 LEDs, the archive's prior with i_d", FOUR, {}, contact),
    )
    for name, channels, held, prior in rigs:
        rng = np.random.default_rng(3)
        x = rng.uniform((0.03, 0.01, 0.6, 0.02), (0.15, 0.05, 1.0, 0.06), (count, 4))
        left = np.zeros((count, len(channels)))
        if prior is not None:
            x = _draw(prior, 2 * count, rng)
            widest = [parameter.wide[1] for parameter in get_model(_CALIBRATED).parameters[:2]]
            x = x[((x > 0) & (x < (*widest, np.inf, np.inf))).all(1)][:count]
            left = _left_over(prior, channels, len(x), rng)
        x[:, 3] = held.get("i_s", x[:, 3])
        y = x[:, 2:3] * msfit.reflectance(x[:, 0], x[:, 1], None, model=_CALIBRATED, channels=channels) + x[:, 3:]
        y = y + left + _NOISE * rng.standard_normal(left.shape)
        options: dict[str, Any] = {"hold": held, "noise": _NOISE, "std": True, "prior": prior, "channels": channels}
        fit = msfit.fit(y, model=_CALIBRATED, dtype="float64", **options)
        assert fit.std is not None
        inside = (fit.status == msfit.Status.CONVERGED) & (fit.i_s > 0 if "i_s" not in held else True)
        found[name] = {"inside the bounds": round(float(inside.mean()), 3)} | {
            number: round(float((np.abs(getattr(fit, number) - x[:, k]) < fit.std[number])[inside].mean()), 3)
            for k, number in enumerate(NUMBERS)
            if number not in held
        }
        print(name, found[name], flush=True)
    return found


def _draw(prior: msfit.SkinPrior, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (count, 4) of a prior on all four of them."""
    order = [prior.names.index(number) for number in NUMBERS]
    if prior.shares is None:
        return np.asarray(rng.multivariate_normal(prior.mean, prior.covariance, count)[:, order])
    which = rng.choice(len(prior.shares), count, p=prior.shares)
    each = [rng.multivariate_normal(m, c, count) for m, c in zip(prior.mean, prior.covariance, strict=True)]
    return np.asarray(np.stack(each)[which, np.arange(count)][:, order])


def _left_over(prior: msfit.SkinPrior, channels: msfit.Channels, count: int, rng: np.random.Generator) -> np.ndarray:
    """What the model leaves over (count, channel), drawn."""
    if prior.residual is None:
        return np.zeros((count, len(channels)))
    assert prior.wavelengths is not None
    fine, weights, _ = channels.shares(prior.wavelengths[0], prior.wavelengths[-1])
    spectra = rng.multivariate_normal(np.zeros(len(prior.residual)), prior.residual, count, method="eigh")
    return np.stack([np.interp(fine, prior.wavelengths, row) for row in spectra]) @ weights.T


def speed(quick: bool) -> dict[str, Any]:
    """Processor time a pixel [microseconds], the median of five turns, and ratios to 31 bands. Pixels have noise."""
    bands = np.arange(400.0, 701.0, 10.0)
    count, rng = (20_000 if quick else 200_000), np.random.default_rng(0)
    x = rng.uniform((0.02, 0.005, 0.4, 0.0), (0.3, 0.06, 1.0, 0.08), (count, 4))
    wide = _GAUSSIAN(np.linspace(415, 705, 31), 10)
    mean = x[:, [0, 1, 3]] + rng.normal(0, (0.03, 0.005, 0.01), (count, 3))
    maps = msfit.SkinPrior(mean, np.diag([0.03, 0.005, 0.01]) ** 2, ("f_mel", "f_blood", "i_s"))
    rigs: dict[str, dict[str, Any]] = {
        "31 bands": {"wavelengths": bands},
        "31 Gaussian channels of 10 nm": {"channels": wide},
        "6 LEDs": {"channels": LEDS},
        "3 channels, Gaussian prior": {"channels": RGB, "prior": GAUSSIAN_PRIOR, "noise": _NOISE},
        "3 channels, maps of priors": {"channels": RGB, "prior": maps, "noise": _NOISE},
        "3 channels, the archive's prior": {"channels": RGB, "prior": "archive", "noise": _NOISE},
        "6 LEDs, i_s held at 0": {"channels": LEDS, "hold": {"i_s": 0.0}},
        "6 LEDs, i_d in 0.5-0.7, i_s in 0-0.02": {"channels": LEDS, "bounds": {"i_d": (0.5, 0.7), "i_s": (0.0, 0.02)}},
    }
    seen: dict[str, np.ndarray] = {}
    for name, options in rigs.items():
        y = x[:, 2:3] * msfit.reflectance(
            x[:, 0], x[:, 1], options.get("wavelengths"), channels=options.get("channels")
        )
        seen[name] = (y + x[:, 3:] + _NOISE * rng.standard_normal(y.shape)).astype(np.float32)
    taken: dict[str, list[float]] = {name: [] for name in rigs}
    for turn in range(4 if quick else 6):  # of which the first compiles
        for name, options in rigs.items():
            began = time.process_time()
            msfit.fit(seen[name], **options)
            if turn:
                taken[name].append(1e6 * (time.process_time() - began) / count)
    medians = {name: float(np.median(times)) for name, times in taken.items()}
    return {"model": DEFAULT_MODEL} | {
        name: {
            "microseconds": round(median, 3),
            "pixels of 31 bands in the time of one": round(median / medians["31 bands"], 2),
        }
        for name, median in medians.items()
    }


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"oracle": oracle, "coverage": coverage, "speed": speed}
