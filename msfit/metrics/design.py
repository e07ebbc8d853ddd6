"""Which channels to buy: the set with the least Cramer-Rao error of melanin and blood over measured skin.

A channel c that sees y = i_d R_c(x) + i_s with noise of standard deviation s adds g g' / s^2 to the information on
v = (f_mel, f_blood, i_d, i_s), where g = dy/dv. What is known of skin beforehand, the spread of each number over the
archive, adds 1 / spread^2 (the bound of van Trees, Detection, Estimation, and Modulation Theory I, 1968, section
2.4.3), so that an error never exceeds what is known without looking and one to three channels can be judged too.
Sets are found by exchange (V. V. Fedorov, Theory of Optimal Experiments, 1972): channel after channel is added where it
helps most, then each is exchanged for others while that helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from msfit.data.channels import Channels
from msfit.errors import InputError
from msfit.skin import DEFAULT_MODEL
from msfit.skin.channels import through
from msfit.skin.models import get_model

NUMBERS = ("f_mel", "f_blood", "i_d", "i_s")
# Persons of the calibration split, one spectrum each, over whom errors are taken.
_PERSONS = 300
# Centres are tried on a grid of so many nm; responses may lie outside the model's range by this share of their area.
_GRID, _OUTSIDE = 5.0, 0.03


@dataclass(frozen=True, eq=False)
class ChannelDesign:
    """Channels, best sets of each size up to the one asked for, and what they tell.

    Attributes
    ----------
    channels : Channels
        The set, by rising wavelength.
    chosen : tuple of tuples of str
        Names of the best set of 1, 2, ... channels.
    error : float64 array (size, 2)
        Root of the mean over skin of the bound on the variance of f_mel and f_blood [1], a row a size.
    spread : float64 array (2,)
        Standard deviation of f_mel and f_blood over skin: the error without any channel.
    noise : float
        Standard deviation of a channel's value [reflectance].
    """

    channels: Channels
    chosen: tuple[tuple[str, ...], ...]
    error: np.ndarray
    spread: np.ndarray
    noise: float

    def __str__(self) -> str:
        head = f"{'channels':>8}  {'f_mel':>8}  {'f_blood':>8}  standard errors at noise {self.noise:g}, and which"
        rows = [f"{0:8d}  {self.spread[0]:8.4f}  {self.spread[1]:8.4f}"]
        for number, (names, error) in enumerate(zip(self.chosen, self.error, strict=True), 1):
            rows.append(f"{number:8d}  {error[0]:8.4f}  {error[1]:8.4f}  {', '.join(names)}")
        return "\n".join([head, *rows])


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
        `str` of it is a table of what each further channel buys.

    Raises
    ------
    InputError
        More channels than the catalogue has, fewer than one, noise that is not positive, an unknown number in `hold`,
        channels outside the model's range.

    Examples
    --------
    >>> print(len(design_channels(4, width=20).channels))
    4
    """
    offered = _grid(width, model) if catalogue is None else catalogue
    if not 1 <= count <= len(offered):
        raise InputError(f"count: found {count}; expected 1 to {len(offered)}, as many as there are to choose from")
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"noise: found {noise:g}; expected a number greater than 0")
    if unknown := [name for name in hold if name not in NUMBERS[2:]]:
        raise InputError(f"hold: found {', '.join(unknown)}; expected i_d or i_s")
    numbers = archive_numbers(model)
    slopes = sensitivities(offered, numbers, model)
    free = [k for k, name in enumerate(NUMBERS) if name not in hold]
    information = _outer(slopes[:, :, free]) / noise**2
    spread = numbers.std(0)
    known = np.diag(1 / spread[free] ** 2)
    sets = _best_sets(information, known, spread[:2], count)
    errors = np.array([_errors(known + information[list(chosen)].sum(0)) for chosen in sets])
    named = tuple(tuple(offered.names[i] for i in chosen) for chosen in sets)
    return ChannelDesign(offered.take(list(sets[-1])), named, errors, spread[:2], noise)


@lru_cache(maxsize=4)
def archive_numbers(model: str) -> np.ndarray:
    """(f_mel, f_blood, i_d, i_s) of persons of the calibration split (n, 4), fitted in 31 bands."""
    import msfit
    from msfit.io.datasets.issa import load_faces
    from msfit.synth.people import subjects

    faces = load_faces()
    mine = np.flatnonzero(np.isin(faces.person, [subject.person for subject in subjects("train")]))
    mine = np.random.default_rng(0).permutation(mine)
    first = np.sort(np.unique(faces.person[mine], return_index=True)[1])[:_PERSONS]
    fit = msfit.fit(np.asarray(faces.cube.reflectance)[mine[first]], faces.cube.wavelengths, model=model)
    numbers = np.stack([np.asarray(getattr(fit, name), np.float64) for name in NUMBERS], -1)
    return numbers[np.isfinite(numbers).all(-1)]


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
    return every.take(inside)


def _outer(slopes: np.ndarray) -> np.ndarray:
    return slopes[..., :, None] * slopes[..., None, :]


def _errors(information: np.ndarray) -> np.ndarray:
    """Root of the mean over skin of the pigments' variances, (..., 2), of information (..., skin, k, k)."""
    covariance = np.linalg.inv(information)
    return np.sqrt(np.stack((covariance[..., 0, 0], covariance[..., 1, 1]), -1).mean(-2))


def _best_sets(information: np.ndarray, known: np.ndarray, spread: np.ndarray, count: int) -> list[tuple[int, ...]]:
    """The best set of each size, as indices; by exchange, begun from the best set that is smaller by one."""

    def worth(total: np.ndarray) -> np.ndarray:
        return ((_errors(total) / spread) ** 2).sum(-1)

    sets: list[tuple[int, ...]] = []
    chosen: list[int] = []
    for _ in range(count):
        total = known + information[chosen].sum(0)
        order = worth(total + information)
        order[chosen] = np.inf
        chosen.append(int(order.argmin()))
        best, better = float(order.min()), True
        while better:
            better = False
            for place in range(len(chosen)):
                others = [*chosen[:place], *chosen[place + 1 :]]
                order = worth(known + information[others].sum(0) + information)
                order[others] = np.inf
                if order.min() < best * (1 - 1e-9):
                    best, better = float(order.min()), True
                    chosen[place] = int(order.argmin())
        sets.append(tuple(sorted(chosen)))
    return sets
