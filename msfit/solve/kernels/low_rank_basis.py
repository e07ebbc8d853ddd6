"""Spectra of many bands in few coordinates, in which a skin's reflectance follows from as many of its bands.

Reflectances of skin, and white, lie nearly in a space of few dimensions. Its orthonormal basis is turned so that white
has the same number in all coordinates: they can then be fitted like bands. Where in the space a reflectance lies
follows from few of its bands (empirical interpolation: Barrault, Maday, Nguyen, Patera, C. R. Acad. Sci. Paris 339,
2004), so that the model is evaluated on these alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Compression:
    """How spectra (band,) become coordinates.

    Attributes
    ----------
    basis : float64 array (band, coordinate)
        Coordinates are spectra @ basis: white has all ones, and a mean over coordinates is one over the bands of what
        lies in the space.
    bands : array (coordinate,)
        Indices of the bands from which the coordinates of a reflectance follow.
    mixing : float64 array (coordinate, coordinate)
        Coordinates of a reflectance are mixing @ reflectance[bands].
    error : float
        Largest root mean square over bands by which a reflectance is missed, of those that it was made from.
    """

    basis: np.ndarray
    bands: np.ndarray
    mixing: np.ndarray
    error: float

    def missed(self, spectra: np.ndarray) -> float:
        """Largest root mean square over bands by which one of the reflectances (n, band) is missed."""
        bands, count = self.basis.shape
        approximation = spectra[:, self.bands] @ self.mixing.T @ self.basis.T * (bands / count)
        return float(np.sqrt(((approximation - spectra) ** 2).mean(1)).max())


def compress(spectra: np.ndarray, orthonormal: np.ndarray) -> Compression:
    """Coordinates in the space of some `search.directions` (band, coordinate) of spectra (n, band) of skin."""

    bands, count = orthonormal.shape
    chosen = np.sort(_pivots(orthonormal.T))
    turned = (count / bands) ** 0.5 * _reflection(count)
    basis, mixing = orthonormal @ turned, turned @ np.linalg.inv(orthonormal[chosen])
    compression = Compression(basis, chosen, mixing, 0.0)
    return replace(compression, error=compression.missed(spectra))


def _pivots(matrix: np.ndarray) -> np.ndarray:
    """Columns of a matrix (n, m) that QR with pivoting takes first, (n,): Businger & Golub, Numer. Math. 7, 1965.

    By Gram-Schmidt, without loading scipy for so small a matrix.
    """
    left, chosen = matrix.copy(), []
    for _ in range(len(matrix)):
        chosen.append(int(np.einsum("nm,nm->m", left, left).argmax()))
        direction = left[:, chosen[-1]] / np.linalg.norm(left[:, chosen[-1]])
        left -= np.outer(direction, direction @ left)
    return np.array(chosen)


def _reflection(count: int) -> np.ndarray:
    """The Householder reflection (count, count) that takes the first axis to the diagonal of the cube."""
    normal = np.full(count, -(count**-0.5))
    normal[0] += 1
    return np.eye(count) - 2 * np.outer(normal, normal) / (normal @ normal)
