"""Which channels to buy: the set with the least error of melanin and blood over measured skin.

Channels that see y = i_d R(x) + i_s with noise of standard deviation s have the information A = G' G / s^2 + K on
v = (f_mel, f_blood, i_d, i_s), where G = dy/dv and K = diag(1 / spread^2) is what is known of skin beforehand, so that
one to three channels can be judged too. A^-1 bounds the covariance of any estimate (Cramer, Rao; with K: H. L. van
Trees, Detection, Estimation, and Modulation Theory I, 1968, section 2.4). Skin does not follow a model exactly either:
what the model leaves over on the archive, with covariance C in the channels, moves least squares by
A^-1 (G' C G / s^4) A^-1 more (P. J. Huber, Proc. Fifth Berkeley Symp. 1, 221, 1967), and both are added up here.
Sets are found by exchange (V. V. Fedorov, Theory of Optimal Experiments, 1972): channel after channel is added where it
helps most, then each is exchanged for others while that helps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.channels import Channels
from msfit.data.later import later
from msfit.errors import InputError, names_nearest
from msfit.skin import DEFAULT_MODEL
from msfit.skin.channels import through
from msfit.skin.models import get_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = ("f_mel", "f_blood", "i_d", "i_s")
# Persons of the calibration split, one spectrum each, over whom errors are taken.
_PERSONS = 300
# Centres are tried on a grid of so many nm; responses may lie outside the model's range by this share of their area.
_GRID, _OUTSIDE = 5.0, 0.03
# Standard deviations of noise [reflectance] that a camera can have; far beyond, numbers overflow.
_NOISE = (1e-6, 10.0)


@dataclass(frozen=True, eq=False)
class ChannelDesign:
    """Channels, best sets of each size up to the one asked for, and what they tell.

    Attributes
    ----------
    channels : Channels
        The set, by rising wavelength.
    sets : tuple of Channels
        The best set of 1, 2, ... channels; `channels` is the last.
    error : float64 array (size, 2)
        Root of the mean over skin of the variance of f_mel and f_blood [1], a row a size.
    spread : float64 array (2,)
        Standard deviation of f_mel and f_blood over skin: the error without any channel.
    noise : float
        Standard deviation of a channel's value [reflectance].
    model : str
        Name of the skin model.
    hold : tuple of str
        Numbers that are held in fits.
    """

    channels: Channels
    sets: tuple[Channels, ...]
    error: np.ndarray
    spread: np.ndarray
    noise: float
    model: str
    hold: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[tuple[str, ...], ...]:
        """Names of the best set of 1, 2, ... channels."""
        return tuple(channels.names for channels in self.sets)

    def save(self, path: str | Path) -> None:
        """Write the design as JSON, which `Channels.from_file` and ``msfit fit --channels`` read.

        Parameters
        ----------
        path : str or Path
            Ends in .json. It appears whole or not at all.

        Raises
        ------
        InputError
            Another ending; a folder that is absent or cannot be written to.
        """
        from msfit.io.output import check_output, written_whole

        sizes = [
            {"channels": list(names), "error": dict(zip(NUMBERS, error.tolist(), strict=False))}
            for names, error in zip(self.chosen, self.error, strict=True)
        ]
        about = {
            "model": self.model,
            "noise": self.noise,
            "hold": list(self.hold),
            "spread": dict(zip(NUMBERS, self.spread.tolist(), strict=False)),
            "sizes": sizes,
        }
        contents = {
            "names": list(self.channels.names),
            "wavelengths": self.channels.wavelengths.tolist(),
            "responses": self.channels.responses.tolist(),
            "design": about,
        }
        with written_whole(check_output(path, (".json",))) as part:
            part.write_text(json.dumps(contents) + "\n", encoding="utf-8")

    def plot(self) -> Figure:
        """Errors by the number of channels, and the responses of the best set of each size.

        Returns
        -------
        matplotlib.figure.Figure
            Not attached to a window; `savefig` writes it.
        """
        figure: Figure = later("msfit.plot.design").design_panel(self)
        return figure

    def __str__(self) -> str:
        head = f"{'channels':>8}  {'f_mel':>8}  {'f_blood':>8}  standard errors at noise {self.noise:g}, and which"
        rows = [f"{0:8d}  {self.spread[0]:8.4f}  {self.spread[1]:8.4f}"]
        for number, (names, error) in enumerate(zip(self.chosen, self.error, strict=True), 1):
            rows.append(f"{number:8d}  {error[0]:8.4f}  {error[1]:8.4f}  {', '.join(names)}")
        return "\n".join([head, *rows])


@names_nearest
def design_channels(
    count: int,
    *,
    catalogue: Channels | None = None,
    width: float = 20.0,
    noise: float = 0.003,
    model: str = DEFAULT_MODEL,
    hold: Sequence[str] = (),
) -> ChannelDesign:
    """Choose channels that tell melanin and blood.

    Parameters
    ----------
    count : int
        Number of channels.
    catalogue : Channels, optional
        What can be bought. By default Gaussian channels on every fifth nm of 400-700 nm that the model covers.
    width : float
        Full width at half maximum [nm] of those.
    noise : float
        Standard deviation of a channel's value [reflectance], the same in all.
    model : str
        A name from `msfit.models`.
    hold : sequence of str
        Numbers that will be held in fits: of "i_d" and "i_s".

    Returns
    -------
    ChannelDesign
        `str` of it is a table of what each further channel buys; `plot` draws it and `save` writes it.

    Raises
    ------
    InputError
        More channels than the catalogue has, fewer than one, noise outside 1e-6 to 10, an unknown number in `hold`,
        channels outside the model's range.

    Examples
    --------
    >>> print(len(design_channels(4, width=20).channels))
    4
    """
    offered = _grid(width, model) if catalogue is None else catalogue
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise InputError(f"count: found {count!r}; expected a whole number of channels")
    if not 1 <= count <= len(offered):
        raise InputError(f"count: found {count}; expected 1 to {len(offered)}, as many as there are to choose from")
    if not _NOISE[0] <= noise <= _NOISE[1]:
        raise InputError(f"noise: found {noise:g}; expected {_NOISE[0]:g} to {_NOISE[1]:g}, where white is 1")
    if unknown := [name for name in hold if name not in NUMBERS[2:]]:
        raise InputError(f"hold: found {', '.join(unknown)}; expected i_d or i_s")
    numbers = archive_numbers(model)
    slopes = sensitivities(offered, numbers, model)
    free = [k for k, name in enumerate(NUMBERS) if name not in hold]
    spread = numbers.std(0)
    known = np.diag(1 / spread[free] ** 2)
    criterion = _Criterion(slopes[:, :, free], known, noise, residual_covariance(offered, model))
    sets = _best_sets(criterion, spread[:2], count)
    errors = np.array([criterion.errors(list(chosen)) for chosen in sets])
    best = tuple(offered.take(list(chosen)) for chosen in sets)
    return ChannelDesign(best[-1], best, errors, spread[:2], noise, get_model(model).name, tuple(hold))


@lru_cache(maxsize=4)
def _archive(model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (n, 4), residuals (n, band) and wavelengths of fits of persons of the calibration split in 31 bands."""
    import msfit
    from msfit.io.datasets.issa import load_faces
    from msfit.synth.people import subjects

    faces = load_faces()
    mine = np.flatnonzero(np.isin(faces.person, [subject.person for subject in subjects("train")]))
    mine = np.random.default_rng(0).permutation(mine)
    first = np.sort(np.unique(faces.person[mine], return_index=True)[1])[:_PERSONS]
    spectra, nm = np.asarray(faces.cube.reflectance, np.float64)[mine[first]], faces.cube.wavelengths
    fit = msfit.fit(spectra, nm, model=model)
    numbers = np.stack([np.asarray(getattr(fit, name), np.float64) for name in NUMBERS], -1)
    sound = np.isfinite(numbers).all(-1)
    numbers, spectra = numbers[sound], spectra[sound]
    inside = (nm >= get_model(model).wavelength_range[0]) & (nm <= get_model(model).wavelength_range[1])
    modelled = msfit.reflectance(numbers[:, 0], numbers[:, 1], nm[inside], model=model)
    return numbers, spectra[:, inside] - numbers[:, 2:3] * modelled - numbers[:, 3:], nm[inside]


def archive_numbers(model: str) -> np.ndarray:
    """(f_mel, f_blood, i_d, i_s) of persons of the calibration split (n, 4), fitted in 31 bands."""
    return _archive(model)[0]


def residual_covariance(channels: Channels, model: str) -> np.ndarray:
    """Covariance (about 0) of what the model leaves over on these persons, in channels: (channel, channel)."""
    _, residuals, nm = _archive(model)
    fine, weights, _ = channels.shares(nm[0], nm[-1])
    seen = np.stack([np.interp(fine, nm, row) for row in residuals]) @ weights.T
    return seen.T @ seen / len(seen)


def sensitivities(channels: Channels, numbers: np.ndarray, model: str = DEFAULT_MODEL) -> np.ndarray:
    """Derivatives of channels' values with respect to (f_mel, f_blood, i_d, i_s): (channel, skin, 4)."""
    seen = through(get_model(model), channels, _OUTSIDE)
    skin: Any = seen.in_numpy(channels.centres)
    if skin is None:
        raise InputError(f"model: {model} is known in torch alone; expected one of the models that come with msfit")
    reflectance, slopes = skin.jacobian(numbers[:, :2])
    i_d = numbers[:, 2:3]
    columns = [i_d * slopes[0], i_d * slopes[1], reflectance, np.ones_like(reflectance)]
    return np.stack(columns, -1).swapaxes(0, 1)


def _grid(width: float, model: str) -> Channels:
    low, high = get_model(model).wavelength_range
    every = Channels.gaussian(np.arange(400.0, 701.0, _GRID), width)
    inside = np.flatnonzero(every.shares(low, high)[2] <= _OUTSIDE)
    if not inside.size:
        raise InputError(f"width: found {width:g}; expected channels that lie within {low:g} to {high:g} nm")
    return every.take(inside)


class _Criterion:
    """Errors of sets of channels: `slopes` (channel, skin, k), `known` (k, k), `left` (channel, channel)."""

    def __init__(self, slopes: np.ndarray, known: np.ndarray, noise: float, left: np.ndarray) -> None:
        self.slopes, self.known, self.noise, self.left = slopes, known, noise, left
        self.squares = slopes[..., :, None] * slopes[..., None, :]

    def errors(self, chosen: list[int]) -> np.ndarray:
        """Root of the mean over skin of the variances of f_mel and f_blood (2,)."""
        g = self.slopes[chosen]
        moved = np.einsum("csi,cd,dsj->sij", g, self.left[np.ix_(chosen, chosen)], g)
        return self._errors(self.squares[chosen].sum(0), moved)

    def with_each(self, others: list[int]) -> np.ndarray:
        """The same (channel, 2) of some channels and each one more."""
        g = self.slopes[others]
        moved = np.einsum("csi,cd,dsj->sij", g, self.left[np.ix_(others, others)], g)
        cross = np.einsum("csi,cd,dsj->csij", self.slopes, self.left[:, others], g)
        own = np.diag(self.left)[:, None, None, None] * self.squares
        return self._errors(self.squares[others].sum(0) + self.squares, moved + cross + cross.swapaxes(-1, -2) + own)

    def _errors(self, information: np.ndarray, moved: np.ndarray) -> np.ndarray:
        inverse = np.linalg.inv(information / self.noise**2 + self.known)
        covariance = inverse + inverse @ (moved / self.noise**4) @ inverse
        return np.sqrt(np.stack((covariance[..., 0, 0], covariance[..., 1, 1]), -1).mean(-2))


def _best_sets(criterion: _Criterion, spread: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """The best set of each size, as indices; by exchange, begun from the best set that is smaller by one."""

    def worth(others: list[int]) -> np.ndarray:
        found = ((criterion.with_each(others) / spread) ** 2).sum(-1)
        found[others] = np.inf
        return found

    sets: list[tuple[int, ...]] = []
    chosen: list[int] = []
    for _ in range(count):
        order = worth(chosen)
        chosen.append(int(order.argmin()))
        best, better = float(order.min()), True
        while better:
            better = False
            for place in range(len(chosen)):
                order = worth([*chosen[:place], *chosen[place + 1 :]])
                if order.min() < best * (1 - 1e-9):
                    best, better = float(order.min()), True
                    chosen[place] = int(order.argmin())
        sets.append(tuple(sorted(chosen)))
    return sets
