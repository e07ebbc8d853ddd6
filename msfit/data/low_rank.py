"""Spectra that are mixtures of few: kept as their coefficients, and expanded where they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from msfit.errors import InputError

_STRIP = 4096  # pixels that are expanded together, in the cache
# A product of space and spectrum leaves as much, relative to it, to rounding in single precision.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class LinearSpectra:
    """An array (y, x, band) or (pixel, band) that is coefficients @ functions.T + mean, where `floor` not below zero.

    Indexing it gives another one, as long as the bands stay, or an array; `numpy.asarray` expands it, every pixel by
    itself: the same, to the bit, in whatever part of the picture.

    Attributes
    ----------
    coefficients : float array (y, x, term) or (pixel, term)
    functions : float array (band, term)
    mean : float array (band,)
    floor : bool
        Whether samples below zero become zero.
    """

    coefficients: np.ndarray
    functions: np.ndarray
    mean: np.ndarray
    floor: bool = False

    def __post_init__(self) -> None:
        terms, bands = self.coefficients.shape[-1], len(self.functions)
        if self.functions.shape != (bands, terms) or self.mean.shape != (bands,):
            raise InputError(
                f"coefficients: found shape {self.coefficients.shape} with functions {self.functions.shape} and mean"
                f" {self.mean.shape}; expected (..., term), (band, term) and (band,)"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the expanded array."""
        return (*self.coefficients.shape[:-1], len(self.functions))

    @property
    def dtype(self) -> np.dtype:
        """Of the expanded array: float64 where the coefficients are, else float32.

        Functions that are stored more exactly than what they are multiplied by make nothing more exact.
        """
        return np.dtype(np.result_type(self.coefficients.dtype, np.float32))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.coefficients.ndim

    @property
    def size(self) -> int:
        """Number of samples."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if (at := next((k for k, part in enumerate(parts) if part is Ellipsis), None)) is not None:
            parts = (*parts[:at], *[slice(None)] * (self.ndim + 1 - len(parts)), *parts[at + 1 :])
        if len(parts) < self.ndim:
            return replace(self, coefficients=self.coefficients[parts])
        *pixels, bands = parts
        found = self
        if any(not isinstance(part, slice) or part != slice(None) for part in pixels):
            found = replace(self, coefficients=self.coefficients[tuple(pixels)])
        if isinstance(bands, int | np.integer):
            one = np.array([bands])
            return np.asarray(replace(found, functions=self.functions[one], mean=self.mean[one]))[..., 0]
        return replace(found, functions=self.functions[bands], mean=self.mean[bands])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        kind = self.dtype
        coefficients = self.coefficients.reshape(-1, self.coefficients.shape[-1])
        functions, mean = self.functions.T.astype(kind), self.mean.astype(kind)
        found = np.empty((len(coefficients), mean.size), kind)
        for first in range(0, len(found), _STRIP):
            # term by term: how a library multiplies matrices, and rounds, may depend on their sizes
            strip, own = found[first : first + _STRIP], coefficients[first : first + _STRIP].astype(kind, copy=False)
            strip[:] = mean
            for term in range(own.shape[1]):
                strip += own[:, term, None] * functions[term]
            if self.floor:
                np.maximum(strip, 0, out=strip)
        return found.reshape(self.shape).astype(kind if dtype is None else dtype, copy=False)


def space_times_spectrum(samples: np.ndarray) -> LinearSpectra | np.ndarray:
    """Samples (y, x, band) as one number a pixel times one spectrum, if they are that within rounding; else as given.

    The spectrum is that of the brightest pixel, divided by its mean; no sample may deviate from the product by more
    than 1e-6 of it.
    """
    means = np.stack([row.mean(-1, dtype=np.float64) for row in samples])
    if not np.isfinite(means).all() or not (means > 0).all():
        return samples
    brightest = np.unravel_index(means.argmax(), means.shape)
    spectrum = samples[brightest].astype(np.float64) / means[brightest]
    for row, amount in zip(samples, means, strict=True):
        product = amount[..., None] * spectrum
        if not (np.abs(row - product) <= _ROUNDING * product).all():
            return samples
    kind = np.result_type(samples.dtype, np.float32)
    return LinearSpectra(means[..., None].astype(kind), spectrum[:, None].astype(kind), np.zeros(spectrum.size, kind))
