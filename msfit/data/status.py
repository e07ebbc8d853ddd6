"""What became of a pixel: flags that combine, in words, and whether its minimum is proved to be the global one."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

#: Type of a map of statuses.
STATUS_TYPE = np.uint16


class Status(enum.IntFlag):
    """What became of a pixel: flags, of which several may be set; none set is a fit that converged inside the bounds.

    The names of single flags, in lower case, are the CF ``flag_meanings`` of the map `status`, their values its
    ``flag_masks``. Combinations that are frequent have names of their own. Masked pixels are those from
    `MASKED_BY_USER` up: they have that one flag. `NO_DIFFUSE` stands in place of bounds and of `NOT_CONVERGED`, since
    the pigments are undetermined; `GLOBAL` and `DOUBTFUL` may be with any of a fitted pixel.

    Examples
    --------
    >>> Status.F_MEL_LOWER | Status.F_BLOOD_UPPER == Status.F_MEL_LOWER_F_BLOOD_UPPER
    True
    >>> status = np.array([0, 1, 33], STATUS_TYPE)
    >>> (status & Status.F_MEL_LOWER > 0).tolist()
    [False, True, True]
    """

    CONVERGED = 0
    F_MEL_LOWER = 1
    F_MEL_UPPER = 2
    F_BLOOD_LOWER = 4
    F_BLOOD_UPPER = 8
    NO_DIFFUSE = 16
    NOT_CONVERGED = 32
    #: Proved to be the global minimum, where the fit was certified.
    GLOBAL = 64
    #: Of photographs: clipped or in deep shadow, so that the picture says little of the skin. Of spectra, where that
    #: was asked for: unlike measured skin, see `msfit.skin_likeness`.
    DOUBTFUL = 128
    MASKED_BY_USER = 256
    MASKED_TOO_FEW_BANDS = 512
    MASKED_NO_SIGNAL = 1024

    F_MEL_LOWER_F_BLOOD_LOWER = F_MEL_LOWER | F_BLOOD_LOWER
    F_MEL_LOWER_F_BLOOD_UPPER = F_MEL_LOWER | F_BLOOD_UPPER
    F_MEL_UPPER_F_BLOOD_LOWER = F_MEL_UPPER | F_BLOOD_LOWER
    F_MEL_UPPER_F_BLOOD_UPPER = F_MEL_UPPER | F_BLOOD_UPPER
    GLOBAL_CONVERGED = GLOBAL
    GLOBAL_F_MEL_LOWER = GLOBAL | F_MEL_LOWER
    GLOBAL_F_MEL_UPPER = GLOBAL | F_MEL_UPPER
    GLOBAL_F_BLOOD_LOWER = GLOBAL | F_BLOOD_LOWER
    GLOBAL_F_BLOOD_UPPER = GLOBAL | F_BLOOD_UPPER
    GLOBAL_F_MEL_LOWER_F_BLOOD_LOWER = GLOBAL | F_MEL_LOWER | F_BLOOD_LOWER
    GLOBAL_F_MEL_LOWER_F_BLOOD_UPPER = GLOBAL | F_MEL_LOWER | F_BLOOD_UPPER
    GLOBAL_F_MEL_UPPER_F_BLOOD_LOWER = GLOBAL | F_MEL_UPPER | F_BLOOD_LOWER
    GLOBAL_F_MEL_UPPER_F_BLOOD_UPPER = GLOBAL | F_MEL_UPPER | F_BLOOD_UPPER
    GLOBAL_NO_DIFFUSE = GLOBAL | NO_DIFFUSE

    @property
    def meaning(self) -> str:
        """The status as a sentence."""
        bounds = [words for flag, words in _ON_BOUNDS.items() if flag in self]
        others = [words for flag, words in _MEANINGS.items() if flag in self]
        if not others:
            others = [f"converged with {' and '.join(bounds)}" if bounds else "converged inside the bounds"]
        elif bounds:
            others.append(f"with {' and '.join(bounds)}")
        return "; ".join([*others, *(["certified global"] if Status.GLOBAL in self else [])])

    @property
    def label(self) -> str:
        """Its name in lower case, as results store it; of a combination without a name those of its flags."""
        name = "GLOBAL_CONVERGED" if self is Status.GLOBAL else self.name
        return (name or str(int(self))).lower()

    @property
    def masked(self) -> bool:
        """Whether the pixel was not fitted."""
        return self >= Status.MASKED_BY_USER

    @property
    def uncertified(self) -> Status:
        """The status without what its certificate says."""
        return self & ~Status.GLOBAL


_ON_BOUNDS = {
    Status.F_MEL_LOWER: "f_mel on its lower bound",
    Status.F_MEL_UPPER: "f_mel on its upper bound",
    Status.F_BLOOD_LOWER: "f_blood on its lower bound",
    Status.F_BLOOD_UPPER: "f_blood on its upper bound",
}
_MEANINGS = {
    Status.NO_DIFFUSE: "best explained without diffuse light: i_d is 0 and the pigments are undetermined (NaN)",
    Status.NOT_CONVERGED: "did not converge: the maps hold the best point found, or NaN where squares overflow",
    Status.DOUBTFUL: "doubtful: the picture is clipped or in deep shadow, or the spectrum is unlike skin",
    Status.MASKED_BY_USER: "left out by the mask",
    Status.MASKED_TOO_FEW_BANDS: "masked: too few usable bands",
    Status.MASKED_NO_SIGNAL: "masked: its mean reflectance is not above 1e-12 (are light and radiance in one unit?)",
}
#: Flags of pixels that lie on the edge of the box of pigments: see whether the bounds, not the data, decide.
AT_BOUND = Status.F_MEL_LOWER | Status.F_MEL_UPPER | Status.F_BLOOD_LOWER | Status.F_BLOOD_UPPER


def flagged(status: Any, flag: Status) -> Any:
    """Bool array: pixels of a map of statuses, numpy or dask, that have any of some flags."""
    return (status & STATUS_TYPE(flag)) != 0


def uncertified(status: Any) -> Any:
    """Statuses without what their certificates say: what became of the pixels themselves."""
    return status & STATUS_TYPE(~Status.GLOBAL & 0xFFFF)


def flag_table() -> dict[str, int]:
    """Names of the single flags, in lower case, with their values."""
    return {flag.name.lower(): int(flag) for flag in Status if flag.name}


def translation(meanings: str, values: Any, *, masks: bool) -> np.ndarray:
    """What each number of a file's map of statuses means here, by the names that the file gives.

    Parameters
    ----------
    meanings : str
        The file's ``flag_meanings``.
    values : array of int
        Its ``flag_masks``, or ``flag_values`` as files of version 0.1.0 have them.
    masks : bool
        Which of the two.

    Returns
    -------
    uint16 array (65536,)
        By number; the largest number where it has no meaning.

    Raises
    ------
    KeyError
        A name that this version does not know; it is the argument.
    """
    codes = [int(value) for value in np.atleast_1d(values)]
    flags = [Status[name.upper()] for name in meanings.split()]
    table = np.full(2**16, UNKNOWN, STATUS_TYPE)
    if not masks:
        table[codes] = flags
        return table
    number = np.arange(2**16)
    found, left = np.zeros(2**16, STATUS_TYPE), number.copy()
    for code, flag in zip(codes, flags, strict=True):
        found[number & code == code] |= STATUS_TYPE(flag)
        left &= ~code
    return np.where(left == 0, found, UNKNOWN)


UNKNOWN = STATUS_TYPE(2**16 - 1)


def status_of_label(label: str) -> Status:
    """The status of a name that `Status.label` gives.

    Raises
    ------
    KeyError
        No such name.

    Examples
    --------
    >>> status_of_label("f_mel_upper|not_converged") == Status.F_MEL_UPPER | Status.NOT_CONVERGED
    True
    """
    found = Status.CONVERGED
    for name in label.split("|"):
        found |= Status[name.upper()]
    return found
