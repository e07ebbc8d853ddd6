"""Texels that a photograph does not show: from the other side of the face, then smoothly from around them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter
from scipy.sparse.linalg import splu

from msfit.face.texture import part_of_square, texels

# Spots smaller than this are a person's own on one side and are not mirrored; larger ones mostly are on both. As a
# share of the square's side (23.5 cm on the canonical face): 0.35 cm.
_SPOT = 0.015
# Over this the difference of both sides at a seam fades into the mirrored part [share of the side]: 1.5 cm.
_FADE = 0.065
# Feather of the features that are mirrored with their detail.
_EDGE = 0.01
# Solved on a square of this many texels at most: what is filled is smooth.
_COARSE = 64
# Smoothed on a square of this many texels at most.
_HALF = 256
_LEAST = 0.02


class Known(IntEnum):
    """How a texel is known."""

    OUTSIDE = 0
    SEEN = 1
    MIRRORED = 2
    FILLED = 3


class Completed(NamedTuple):
    """A square without holes."""

    values: np.ndarray
    """float32 (size, size, channel), NaN outside the face."""
    known: np.ndarray
    """uint8 (size, size): `Known`."""


def complete(values: np.ndarray, weight: np.ndarray, *, mirror: bool = True) -> Completed:
    """Fill the texels of a square that are not seen.

    The smooth part of the other side where that is seen, with the detail of eyes, brows, nostrils and lips, and without
    that of skin, whose moles are on one side. It is levelled to what is seen around it: the difference of both sides,
    known where both are seen, is carried on and fades over 1.5 cm. What is seen on neither side continues its
    surroundings smoothly (Laplace's equation).

    Parameters
    ----------
    values : float array (size, size, channel)
        Numbers that may be mixed linearly: volume fractions, logarithms of colours.
    weight : float array (size, size)
        0 to 1: how far a texel is seen; 0 where it is not.
    mirror : bool
        Whether the other side is looked at; else all is filled.

    Returns
    -------
    Completed
        Where the weight is between 0 and 1, seen and completed values are mixed by it.
    """
    size = len(values)
    on_face = texels(size)
    face = on_face.square(np.ones(on_face.texel.size, bool), False)
    weight = np.where(face & np.isfinite(values).all(axis=2), weight, 0).astype(np.float32)
    own = np.where(weight[..., None] > 0, values, 0).astype(np.float32)
    smooth, seen = _smooth(own, weight)
    other, guess = np.zeros_like(weight), np.zeros_like(own)
    if mirror:
        other = np.clip(2 * seen[:, ::-1], 0, 1) * face
        sharp = weight[:, ::-1, None] * features(size)[..., None]
        guess = smooth[:, ::-1] + sharp * (own - smooth)[:, ::-1]
        both = np.minimum(weight, weight[:, ::-1]) ** 2
        guess = guess + _carried_on(smooth - smooth[:, ::-1], both, face, fade=_FADE)
    told = weight + (1 - weight) * other
    mixed = weight[..., None] * own + ((1 - weight) * other)[..., None] * guess
    filled = _carried_on(mixed / np.maximum(told, 1e-6)[..., None], told, face, fade=None)
    completed = mixed + (1 - told)[..., None] * filled
    known = np.where(weight >= 0.5, Known.SEEN, np.where(other >= 0.5, Known.MIRRORED, Known.FILLED))
    return Completed(
        np.where(face[..., None], completed, np.nan).astype(np.float32),
        np.where(face, known, Known.OUTSIDE).astype(np.uint8),
    )


@functools.lru_cache(maxsize=4)
def features(size: int) -> np.ndarray:
    """Where the detail of a face is alike on both sides, 0 to 1: eyes, brows, nostrils and lips; float32, read-only."""
    parts = np.any([part_of_square(name, size) for name in ("eyes", "brows", "nostrils", "lips", "mouth")], axis=0)
    grown = binary_dilation(parts, iterations=max(1, round(1.5 * _EDGE * size)))
    soft = gaussian_filter(grown.astype(np.float32), _EDGE * size)
    soft.setflags(write=False)
    return soft


def _smooth(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is left without spots, and how much of each texel's surroundings is seen."""
    step = max(1, len(values) // _HALF)
    share = _blocks(weight, step)
    coarse = _blocks(weight[..., None] * values, step) / np.maximum(share, 1e-6)[..., None]
    sigma = _SPOT * len(share)
    seen = gaussian_filter(share, sigma)

    def mean(by: np.ndarray) -> np.ndarray:
        total = np.maximum(gaussian_filter(by, sigma), 1e-6)[..., None]
        return gaussian_filter(by[..., None] * coarse, (sigma, sigma, 0)) / total

    # a spot counts less than the skin around it
    off = np.square(coarse - mean(share))
    spread = np.maximum(_overall(off, share), 1e-12)
    robust = share / (1 + (off / (4 * spread)).max(axis=2))
    return enlarged(mean(robust), len(values)), enlarged(seen[..., None], len(values))[..., 0]


def enlarged(square: np.ndarray, size: int) -> np.ndarray:
    """A square (n, n, channel) at more texels, bilinearly: float32 (size, size, channel)."""
    layers = torch.from_numpy(np.ascontiguousarray(np.moveaxis(square, 2, 0), np.float32))[None]
    wide = torch.nn.functional.interpolate(layers, (size, size), mode="bilinear", align_corners=False)
    return np.ascontiguousarray(np.moveaxis(wide[0].numpy(), 0, 2))


def _overall(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of a square (size, size, channel): (channel,)."""
    return np.asarray((weight[..., None] * values).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-9))


def _carried_on(values: np.ndarray, weight: np.ndarray, face: np.ndarray, fade: float | None) -> np.ndarray:
    """Values known by `weight`, continued over the whole face: smoothly, or towards 0 over a length `fade`.

    Minimises ``sum_i w_i (x_i - v_i)^2 + sum_ij (x_i - x_j)^2 + sum_i (x_i / l)^2`` over a coarse square, w large where
    a texel is known: Laplace's equation, or its screened form, with what is known at the rim.
    """
    size = len(values)
    step = max(1, size // _COARSE)
    inside = _blocks(face.astype(np.float32), step) > 0
    rows = len(inside)
    share = _blocks(weight, step)
    mean = _blocks(weight[..., None] * values, step) / np.maximum(share, 1e-6)[..., None]
    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    pull = np.where(share > _LEAST, 100 * share, 0)[inside]
    solve = _solver(number, pull, 0.0 if fade is None else 1 / (fade * rows) ** 2)
    solved = solve(pull[:, None] * np.nan_to_num(mean[inside]))
    sheet = np.zeros((*inside.shape, values.shape[2]), np.float32)
    sheet[inside] = solved
    # outside the face the nearest value, so that interpolation at the rim reads no zeros
    sheet = _nearest(sheet, inside)
    return enlarged(sheet, size)


def _solver(number: np.ndarray, pull: np.ndarray, screen: float) -> Callable[[np.ndarray], np.ndarray]:
    pairs = []
    for one, two in ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:])):
        linked = (one >= 0) & (two >= 0)
        pairs.append(np.stack([one[linked], two[linked]], axis=1))
    edges = np.concatenate(pairs)
    count = len(pull)
    incidence = sparse.coo_matrix(
        (np.tile([1.0, -1.0], len(edges)), (np.repeat(np.arange(len(edges)), 2), edges.ravel())), (len(edges), count)
    )
    matrix = incidence.T @ incidence + sparse.diags(pull + screen + 1e-6)
    solve: Callable[[np.ndarray], np.ndarray] = splu(matrix.tocsc()).solve
    return solve


def _blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Means over blocks of step x step texels."""
    rows = len(values) // step
    cut = values[: rows * step, : rows * step]
    return np.asarray(cut.reshape(rows, step, rows, step, *values.shape[2:]).mean(axis=(1, 3)))


def _nearest(sheet: np.ndarray, inside: np.ndarray) -> np.ndarray:
    where = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return sheet[tuple(where)]
