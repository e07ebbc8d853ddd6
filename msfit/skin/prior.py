"""What the persons of the archive's calibration split say of skin: a smooth density of its numbers, one a model.

Made by `python -m benchmarks.archive_prior`, and shipped as a table of numbers.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np

from msfit.data.prior import SkinPrior
from msfit.errors import InputError


@cache
def archive_prior(model: str, *, contact: bool = False) -> SkinPrior:
    """The prior that ships for a model.

    Parameters
    ----------
    model : str
        Its name.
    contact : bool
        For instruments that touch the skin, as those of the archive: also of i_d, whose level is known there.

    Returns
    -------
    SkinPrior
        Of f_mel, f_blood and i_s, or of all four numbers, with what the model leaves over of skin as `residual`.

    Raises
    ------
    InputError
        There is none for this model.

    Examples
    --------
    >>> archive_prior("msfit-issa-2025").names
    ('f_mel', 'f_blood', 'i_s')
    """
    folder = resources.files("msfit.skin").joinpath("data")
    file = folder.joinpath(f"prior_{model.replace('-', '_')}.json")
    if not file.is_file():
        known = sorted(each.name[6:-5].replace("_", "-") for each in folder.iterdir() if each.name.startswith("prior_"))
        raise InputError(
            f"prior: the archive has none for model {model}; expected one of {', '.join(known)}, or means and standard"
            " deviations"
        )
    try:
        table = json.loads(file.read_text(encoding="ascii"))
        mean, covariance = np.array(table["mean"]), np.array(table["covariance"])
        prior = SkinPrior(
            mean,
            covariance,
            tuple(table["names"]),
            np.array(table["shares"]),
            np.array(table["residual"]),
            np.array(table["wavelengths"]),
            "archive, contact" if contact else "archive",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file.name}: cannot be read ({error!r}); install msfit anew") from None
    found = prior if contact else prior.without(("i_d",))
    assert found is not None
    return found
