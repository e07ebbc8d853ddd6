"""Which bands of a cube are fitted: those inside the model's range, or those asked for."""

from __future__ import annotations

import numpy as np

from msfit.data.cube import Cube
from msfit.errors import InputError

FEWEST_BANDS = 8
_MOST_BANDS = 10_000
Bands = str | tuple[float, float] | tuple[float, float, float] | slice


def select_bands(
    cube: Cube, asked: Bands | None, holds: tuple[float, float], model: str, fewest: int = FEWEST_BANDS
) -> tuple[Cube, int, list[str]]:
    """The cube on the bands to fit, the number of bands dropped, and notes on what the user may not expect.

    Parameters
    ----------
    cube : Cube
    asked : "A:B", "A:B:STEP", (A, B), (A, B, STEP), a slice of the same, or None
        Native bands from A to B [nm], ends included; with STEP, resampled linearly. None: all bands inside the range.
    holds : (float, float)
        Where the model holds [nm].
    model : str
        Its name, for messages.
    fewest : int
        How many there have to be.

    Raises
    ------
    InputError
        Bands asked for outside the model's range or (with STEP) the data's; fewer bands left than there have to be.
    """
    own = cube.wavelengths
    low, high, step = requested_bands(asked, holds, model)
    if step is None:
        inside = np.flatnonzero((own >= low) & (own <= high))
        _check_count(inside.size, low, high, own, fewest)
        notes = []
        if asked is not None and (own[0] > low or own[-1] < high):
            notes.append(
                f"bands {low:g}:{high:g} nm asked for, the data hold {own[inside[0]]:g}-{own[inside[-1]]:g} nm of them"
            )
        selected = cube if inside.size == own.size else cube.select_bands(inside)
        return selected, int(own.size - inside.size), notes
    count = int(np.floor((high - low) / step + 1e-9)) + 1
    _check_count(count, low, high, own, fewest)
    if count > _MOST_BANDS:
        raise InputError(f"bands: {low:g}:{high:g}:{step:g} makes {count:,} bands; expected a coarser step")
    target = low + step * np.arange(count)
    return cube.resample(target), 0, []


def has_step(asked: Bands | None) -> bool:
    """Whether bands are asked for that have to be resampled."""
    return asked is not None and _parse(asked)[2] is not None


def requested_bands(asked: Bands | None, holds: tuple[float, float], model: str) -> tuple[float, float, float | None]:
    """From where to where, and in which steps if not the data's own [nm]; arguments as of `select_bands`.

    Raises
    ------
    InputError
        What are no bands; bands outside the model's range.
    """
    low, high, step = (*holds, None) if asked is None else _parse(asked)
    if low < holds[0] or high > holds[1]:
        raise InputError(
            f"bands: {low:g}:{high:g} nm asked for, model {model} holds on {holds[0]:g}-{holds[1]:g} nm; "
            "ask for bands inside it"
        )
    return low, high, step


def _parse(asked: Bands) -> tuple[float, float, float | None]:
    if isinstance(asked, slice):
        asked = (asked.start, asked.stop) if asked.step is None else (asked.start, asked.stop, asked.step)
    parts = asked.split(":") if isinstance(asked, str) else asked
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (2, 3) or not np.isfinite(numbers).all() or numbers[1] < numbers[0] or numbers[2:] == [0]:
        raise InputError(f"bands: found {asked!r}; expected A:B or A:B:STEP in nm, such as 420:700 or 420:700:10")
    if numbers[2:] and numbers[2] < 0:
        raise InputError(f"bands: found the step {numbers[2]:g} nm; expected a positive one")
    return numbers[0], numbers[1], numbers[2] if numbers[2:] else None


def _check_count(count: int, low: float, high: float, own: np.ndarray, fewest: int) -> None:
    if count < fewest:
        if np.count_nonzero((own >= 10 * low) & (own <= 10 * high)) >= fewest:
            raise InputError(
                f"wavelengths: {own[0]:g}-{own[-1]:g} look like angstrom; expected nanometres: divide angstrom by 10"
            )
        raise InputError(
            f"bands: {count} of the data's {own.size} ({own[0]:g}-{own[-1]:g} nm) lie in {low:g}-{high:g} nm; "
            f"expected at least {fewest}: choose a wider range, or data with more bands there; fewer are enough where"
            " their responses are known, with channels or fwhm"
        )
