"""Whether channels can tell the numbers that are fitted: the rank of the problem."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from msfit.data.prior import SkinPrior
from msfit.errors import InputError
from msfit.skin.registry import SkinModel
from msfit.solve.problem import ShadingBounds

# Singular values below this share of the largest tell nothing: a millionth of noise would hide what they stand for.
_SMALLEST = 1e-6
_ADVICE = "(prior='archive' with noise)"


def check_rank(
    model: SkinModel,
    wavelengths: np.ndarray,
    box: Mapping[str, tuple[float, float]],
    shadings: ShadingBounds,
    prior: SkinPrior | None = None,
) -> None:
    """Refuse fewer independent channels than numbers that are free and that no prior is about.

    The rank is that of the Jacobian of i_d r(x) + i_s in the free numbers, in the middle of the box, each number in
    units of its span.

    Raises
    ------
    InputError
        The rank is lower than the number of free numbers; the message says what could be held.
    """
    names = [name for name, (low, high) in box.items() if low < high]
    free = [*names, *(name for name, (low, high) in zip(("i_d", "i_s"), shadings, strict=True) if low < high)]
    extras = [name for name in list(box)[2:] if box[name][0] < box[name][1]]
    held = {name: low for name, (low, high) in list(box.items())[2:] if low == high}
    middle = np.array([[low + 0.3 * (high - low) for name, (low, high) in box.items() if name not in held]])
    skin = model.in_numpy(wavelengths, free=extras, held=held)
    if skin is None:  # torch alone
        import torch

        own = model.at(wavelengths, free=extras, held=held)
        reflectance, slopes = own.jacobian(torch.from_numpy(middle))
    else:
        reflectance, slopes = skin.jacobian(middle)
    spans = dict(box)
    by_pigment = dict(zip((name for name in box if name not in held), slopes, strict=True))
    columns = [np.asarray(by_pigment[name])[0] * (spans[name][1] - spans[name][0]) for name in names]
    if shadings[0][0] < shadings[0][1]:
        columns.append(np.asarray(reflectance)[0])
    if shadings[1][0] < shadings[1][1]:
        columns.append(np.ones_like(np.asarray(reflectance)[0]))
    design = np.stack(columns, 1)
    if prior is not None:  # whose numbers it tells, however little it says
        known = [name for name in free if name in prior.names]
        rows = np.zeros((len(known), len(free)))
        rows[np.arange(len(known)), [free.index(name) for name in known]] = np.linalg.norm(design)
        design = np.vstack((design, rows))
    sizes = np.linalg.svd(design, compute_uv=False)
    rank = int(np.count_nonzero(sizes > _SMALLEST * sizes[0]))
    missing = ", ".join(name for name in free if prior is None or name not in prior.names)
    if rank < len(free):
        raise InputError(
            f"channels: {len(wavelengths)} of them tell {rank} numbers apart"
            f"{'' if prior is None else ' with the prior'}, and {len(free)} are free ({', '.join(free)}); hold"
            f" {len(free) - rank} of these with hold, such as {{'i_s': 0}} under crossed polarisers, or take a prior"
            f" {_ADVICE if prior is None else f'of {missing} too'}"
        )
