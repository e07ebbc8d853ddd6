"""What became of a pixel: codes, words, and whether its minimum is proved to be the global one."""

from __future__ import annotations

import enum

import numpy as np

# What a certificate adds to the code of a status.
CERTIFIED = 32


class Status(enum.IntEnum):
    """What became of a pixel. The names, in lower case, are the CF ``flag_meanings`` of the map `status`."""

    CONVERGED = 0
    F_MEL_LOWER = 1
    F_MEL_UPPER = 2
    F_BLOOD_LOWER = 3
    F_BLOOD_UPPER = 4
    F_MEL_LOWER_F_BLOOD_LOWER = 5
    F_MEL_LOWER_F_BLOOD_UPPER = 6
    F_MEL_UPPER_F_BLOOD_LOWER = 7
    F_MEL_UPPER_F_BLOOD_UPPER = 8
    NO_DIFFUSE = 9
    NOT_CONVERGED = 10
    MASKED_BY_USER = 11
    MASKED_TOO_FEW_BANDS = 12
    MASKED_NO_SIGNAL = 13
    # A fit that was certified says whether the minimum is proved to be the global one: these codes plus CERTIFIED.
    GLOBAL_CONVERGED = 32
    GLOBAL_F_MEL_LOWER = 33
    GLOBAL_F_MEL_UPPER = 34
    GLOBAL_F_BLOOD_LOWER = 35
    GLOBAL_F_BLOOD_UPPER = 36
    GLOBAL_F_MEL_LOWER_F_BLOOD_LOWER = 37
    GLOBAL_F_MEL_LOWER_F_BLOOD_UPPER = 38
    GLOBAL_F_MEL_UPPER_F_BLOOD_LOWER = 39
    GLOBAL_F_MEL_UPPER_F_BLOOD_UPPER = 40
    GLOBAL_NO_DIFFUSE = 41

    @property
    def meaning(self) -> str:
        """The status as a sentence."""
        return f"{_MEANINGS[self.uncertified]}; certified global" if self >= CERTIFIED else _MEANINGS[self]

    @property
    def uncertified(self) -> Status:
        """The status without what its certificate says."""
        return Status(int(self) - CERTIFIED) if self >= CERTIFIED else self


_MEANINGS = {
    Status.CONVERGED: "converged inside the bounds",
    Status.F_MEL_LOWER: "converged with f_mel on its lower bound",
    Status.F_MEL_UPPER: "converged with f_mel on its upper bound",
    Status.F_BLOOD_LOWER: "converged with f_blood on its lower bound",
    Status.F_BLOOD_UPPER: "converged with f_blood on its upper bound",
    Status.F_MEL_LOWER_F_BLOOD_LOWER: "converged with f_mel and f_blood on their lower bounds",
    Status.F_MEL_LOWER_F_BLOOD_UPPER: "converged with f_mel on its lower and f_blood on its upper bound",
    Status.F_MEL_UPPER_F_BLOOD_LOWER: "converged with f_mel on its upper and f_blood on its lower bound",
    Status.F_MEL_UPPER_F_BLOOD_UPPER: "converged with f_mel and f_blood on their upper bounds",
    Status.NO_DIFFUSE: "best explained without diffuse light: i_d is 0 and the pigments are undetermined (NaN)",
    Status.NOT_CONVERGED: "did not converge: the maps hold the best point found, or NaN where squares overflow",
    Status.MASKED_BY_USER: "masked by the given mask",
    Status.MASKED_TOO_FEW_BANDS: "masked: fewer than 8 usable bands",
    Status.MASKED_NO_SIGNAL: "masked: its mean reflectance is not above 1e-12 (are light and radiance in one unit?)",
}


# Statuses of pixels that lie on the edge of the box of pigments: see whether the bounds, not the data, decide.
AT_BOUND = tuple(s for s in Status if Status.F_MEL_LOWER <= s.uncertified <= Status.F_MEL_UPPER_F_BLOOD_UPPER)


def uncertified(status: np.ndarray) -> np.ndarray:
    """Codes of statuses without what their certificates say: what became of the pixels themselves, uint8."""
    return np.where(status >= CERTIFIED, status - CERTIFIED, status).astype(np.uint8)
