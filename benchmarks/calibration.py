"""Calibration of the skin model's constants: the training spectra, the objective, and its descent.

For constants z the exact solver finds every spectrum's own four numbers; what remains is a function of z alone
(variable projection). With m the mean squared residual of a spectrum at its minimum,

    L(z) = mean_i [ 2 c (sqrt(m + c^2) - c) / s^2 + w_s ((i_s - 0.04) / 0.02)^2 + w_d (ln i_d / 0.15)^2 ] + w_p |z|^2.

The first term is robust: squares for small residuals, absolute values for large ones. The two next say what is known of
the instruments: they include the reflection of the skin's surface, 0.028-0.047 at n = 1.40-1.55, and they light all
skin alike; other centres than 0.04 and 0 can be given, a pair a spectrum. z are the constants in units of their prior.
Derivatives: by the envelope theorem those of m are partial ones; those of i_d and i_s follow from the minimum's normal
equations (implicit differentiation, Gauss-Newton).
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from msfit.io.datasets.issa import SkinArchive, load_faces
from msfit.skin.calibrated import MSFIT_ISSA_2025, Constant, InternallyReflecting, skin_of
from msfit.solve.solution import Solution
from msfit.solve.solver import PigmentSolver

DOUBLE = torch.float64
_ONE_AT_A_TIME = threading.Lock()  # torch keeps the levels of forward-mode differentiation for all threads together
GLOSS, GLOSS_SPREAD = 0.04, 0.02
LEVEL_SPREAD = 0.15
NOISE = 0.004
LOWER, UPPER = (
    torch.tensor(ends, dtype=DOUBLE) for ends in zip(*(p.wide for p in MSFIT_ISSA_2025.parameters), strict=True)
)


@dataclass(frozen=True)
class Weights:
    """Of the terms of the objective.

    `prior`: the least of those tried at which no constant runs to an end of its range in the literature. Lesser ones
    follow left-out persons a little closer, at that price (benchmarks/results/calibrate_skin.json).
    """

    corner: float = 0.008
    gloss: float = 0.1
    level: float = 0.1
    prior: float = 0.003


@dataclass(frozen=True, eq=False)
class Faces:
    """Facial spectra (n, band) as tensors, their labels and the split of their persons."""

    archive: SkinArchive
    spectra: Tensor
    wavelengths: np.ndarray
    split: np.ndarray

    @classmethod
    def load(cls) -> Faces:
        """The facial spectra of the archive with the library's one split of persons."""
        archive = load_faces()
        text = resources.files("msfit.synth").joinpath("data", "subject_split.csv").read_text()
        rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
        split = {row["person"]: row["split"] for row in rows}
        spectra = torch.from_numpy(np.asarray(archive.cube.reflectance, np.float64))
        wavelengths = np.asarray(archive.cube.wavelengths, np.float64)
        return cls(archive, spectra, wavelengths, np.array([split[p] for p in archive.person]))

    def of(self, *splits: str) -> np.ndarray:
        """Indices of the spectra of some splits."""
        return np.flatnonzero(np.isin(self.split, splits))

    def some_persons(self, index: np.ndarray, spectra: int, seed: int = 0) -> np.ndarray:
        """Indices of about that many of the spectra: all those of persons drawn at random."""
        persons = np.unique(self.archive.person[index])
        share = min(1.0, spectra / index.size)
        chosen = np.random.default_rng(seed).permutation(persons)[: max(1, round(share * persons.size))]
        return index[np.isin(self.archive.person[index], chosen)]


class Form:
    """The model with some of its constants free: from coordinates z to a skin.

    Parameters
    ----------
    rows : sequence of Constant
    corrected : which spectra have a free correction, of "melanin", "baseline", "scattering", "blood"; by default those
        of which the table has one.
    held : constants that keep a given value.
    upper : tensor (2,), upper bounds of f_mel and f_blood.
    """

    def __init__(
        self,
        rows: Sequence[Constant],
        wavelengths: np.ndarray,
        corrected: Sequence[str] | None = None,
        held: dict[str, float] | None = None,
        upper: Tensor = UPPER,
    ) -> None:
        self.wavelengths, self.upper = wavelengths, upper
        if corrected is None:
            corrected = sorted({row.name.split("_")[0] for row in rows if row.role == "cosine"})
        base = [row for row in rows if row.role == "cosine" and row.name.startswith("melanin")]
        extra = [
            replace(row, name=row.name.replace("melanin", spectrum))
            for spectrum in corrected
            for row in base
            if not any(row.name == f"{spectrum}_cosine_1" for row in rows)
        ]
        self.fixed = {row.name: row.prior for row in rows} | (held or {})
        self.free = [
            row
            for row in [*rows, *extra]
            if row.role != "fixed"
            and (row.role != "cosine" or row.name.split("_")[0] in corrected)
            and row.name not in (held or {})
        ]
        self.log = torch.tensor([row.role == "log" for row in self.free], dtype=torch.bool)
        self.centre, self.low, self.high = (
            torch.where(self.log, values.log(), values)
            for values in (
                torch.tensor([getattr(row, key) for row in self.free], dtype=DOUBLE) for key in ("prior", "low", "high")
            )
        )
        self.spread = torch.tensor([row.spread for row in self.free], dtype=DOUBLE)
        self.low, self.high = (self.low - self.centre) / self.spread, (self.high - self.centre) / self.spread

    def start(self) -> Tensor:
        """Coordinates of the prior's centre."""
        return torch.zeros(len(self.free), dtype=DOUBLE)

    def coordinates(self, values: dict[str, float]) -> Tensor:
        """Coordinates of given constants."""
        x = torch.tensor([values[row.name] for row in self.free], dtype=DOUBLE)
        return (torch.where(self.log, x.log(), x) - self.centre) / self.spread

    def values(self, z: Tensor) -> dict[str, Tensor]:
        """Constants by name."""
        x = self.centre + self.spread * z
        x = torch.where(self.log, x.exp(), x)
        fixed = {name: torch.tensor(value, dtype=DOUBLE) for name, value in self.fixed.items()}
        return fixed | {row.name: x[index] for index, row in enumerate(self.free)}

    def skin(self, z: Tensor) -> InternallyReflecting:
        """The model at coordinates z."""
        return skin_of(self.values(z), self.wavelengths)


def fit(skin: InternallyReflecting, spectra: Tensor, upper: Tensor = UPPER) -> Solution:
    """Every spectrum's own four numbers, by the library's solver inside the model's wide bounds."""
    return PigmentSolver(skin, LOWER, upper)(spectra)


def objective(
    z: Tensor, point: Solution, bands: int, counts: Tensor, weights: Weights, centres: Tensor | None = None
) -> float:
    """L(z); `counts` (n,) says how often each spectrum counts, their mean is 1."""
    c = weights.corner
    gloss_at, level_at = (GLOSS, 0.0) if centres is None else centres.unbind(1)
    miss = 2 * c * (torch.sqrt(point.cost / bands + c * c) - c) / NOISE**2
    gloss = weights.gloss * ((point.i_s - gloss_at) / GLOSS_SPREAD) ** 2
    level = weights.level * ((point.i_d.clamp_min(1e-3).log() - level_at) / LEVEL_SPREAD) ** 2
    return float((counts * (miss + gloss + level)).mean() + weights.prior * (z * z).sum())


@dataclass(frozen=True, eq=False)
class Calibration:
    """Coordinates, the objective there, and the number of Gauss-Newton steps."""

    z: Tensor
    value: float
    steps: int


def calibrate(
    form: Form,
    spectra: Tensor,
    weights: Weights | None = None,
    start: Tensor | None = None,
    counts: Tensor | None = None,
    most_steps: int = 40,
    tolerance: float = 1e-5,
    centres: Tensor | None = None,
) -> Calibration:
    """Minimise L over the literature's ranges: damped Gauss-Newton steps, an exact fit of all spectra after each.

    `centres` (n, 2): where i_s and ln i_d of each spectrum are thought to lie, by default 0.04 and 0.
    """
    weights = weights or Weights()
    counts = torch.ones(len(spectra), dtype=DOUBLE) if counts is None else counts
    bands = spectra.shape[1]
    z = form.start() if start is None else start.clone()
    point = fit(form.skin(z), spectra, form.upper)
    value, damping, steps = objective(z, point, bands, counts, weights, centres), 1e-3, 0
    while steps < most_steps:
        steps += 1
        hessian, descent = _normal_equations(form, z, point, spectra, counts, weights, centres)
        moving = ~(((z <= form.low) & (descent < 0)) | ((z >= form.high) & (descent > 0)))
        gain = 0.0
        for _ in range(8):
            step = torch.zeros_like(z)
            damped = hessian + damping * torch.diag(hessian.diagonal())
            step[moving] = torch.linalg.solve(damped[moving][:, moving], descent[moving])
            trial = (z + step.clamp(-3, 3)).clamp(form.low, form.high)
            found = fit(form.skin(trial), spectra, form.upper)
            gain = value - objective(trial, found, bands, counts, weights, centres)
            if gain > 0:
                z, point, value, damping = trial, found, value - gain, max(damping / 8, 1e-7)
                break
            damping *= 8
        if gain <= tolerance * value:
            break
    return Calibration(z, value, steps)


def _normal_equations(
    form: Form,
    z: Tensor,
    point: Solution,
    spectra: Tensor,
    counts: Tensor,
    weights: Weights,
    centres: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Half the Hessian of L (Gauss-Newton) and half its negative gradient, each spectrum's own numbers eliminated."""
    reflectance, (by_mel, by_blood) = form.skin(z).jacobian(point.x)
    i_d, i_s = point.i_d.unsqueeze(1), point.i_s.unsqueeze(1)
    residual = spectra - i_d * reflectance - i_s
    inside = (point.x > LOWER) & (point.x < form.upper)
    own = torch.stack(
        (
            i_d * by_mel * inside[:, :1],
            i_d * by_blood * inside[:, 1:],
            reflectance,
            torch.ones_like(reflectance) * (i_s > 0),
        ),
        2,
    )
    with _ONE_AT_A_TIME:
        by_z = torch.func.jacfwd(lambda v: form.skin(v).reflectance(point.x))(z) * i_d.unsqueeze(2)
    size = own.norm(dim=1, keepdim=True).clamp_min(1e-12)
    own = own / size
    normal = own.mT @ own + 1e-10 * torch.eye(4, dtype=DOUBLE)
    answer = torch.linalg.solve(normal, own.mT @ by_z)  # minus the derivative of the own numbers, times their size
    by_z = by_z - own @ answer
    level_by_z = -answer[:, 2] / size[:, 0, 2:3] / i_d
    gloss_by_z = -answer[:, 3] / size[:, 0, 3:4] * (i_s > 0)

    count, bands = spectra.shape
    c = weights.corner
    share = counts / count
    miss = share * c / torch.sqrt(point.cost / bands + c * c) / NOISE**2 / bands
    gloss, level = share * weights.gloss / GLOSS_SPREAD**2, share * weights.level / LEVEL_SPREAD**2
    flat = (miss.sqrt().view(-1, 1, 1) * by_z).flatten(0, 1)
    hessian = flat.T @ flat + weights.prior * torch.eye(len(z), dtype=DOUBLE)
    hessian += (gloss.unsqueeze(1) * gloss_by_z).T @ gloss_by_z + (level.unsqueeze(1) * level_by_z).T @ level_by_z
    descent = flat.T @ (miss.sqrt().unsqueeze(1) * residual).flatten() - weights.prior * z
    gloss_at, level_at = (GLOSS, 0.0) if centres is None else centres.unbind(1)
    descent -= gloss_by_z.T @ (gloss * (point.i_s - gloss_at))
    descent -= level_by_z.T @ (level * (i_d.squeeze(1).log() - level_at))
    return hessian, descent
