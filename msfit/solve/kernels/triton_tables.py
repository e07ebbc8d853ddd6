"""The tables and channels of a skin on the device, as the kernel for GPUs reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
from torch import Tensor

from msfit.solve.kernels.numba_polynomials import ACROSS
from msfit.solve.kernels.numba_search import RANK
from msfit.solve.kernels.polynomials import SearchTable
from msfit.solve.search import Grid as SearchGrid


@dataclass(frozen=True, eq=False)
class Grid:
    """The tables of a skin over a box on the device, as the kernel reads them; all float32.

    Columns are filled up to a power of two. `basis` (channel, 16): directions of the coordinates. `directions`
    (row, 16, column): of each node, by coordinate; `ratios` (row, 3, column): see `numba_search.NODE`. `spectra` (row,
    channel, column): reflectance at the nodes.
    `expansions` (node, 18, 24), `limits` (node, 4), `fractions` (node, 2, 3): see `numba_polynomials.refine`.
    `lower` and `upper` (2,), the box.
    """

    shape: tuple[int, int]
    basis: Tensor
    directions: Tensor
    ratios: Tensor
    spectra: Tensor
    expansions: Tensor
    limits: Tensor
    fractions: Tensor
    lower: tuple[float, float]
    upper: tuple[float, float]

    @classmethod
    def of(cls, table: SearchTable, spectra: np.ndarray, device: torch.device | str) -> Grid:
        """From the tables of the CPU, and the reflectance (node, channel) at their nodes."""
        rows, columns = table.nodes.shape[:2]
        wide = _filled(columns)
        directions = np.zeros((rows, 1 + ACROSS, wide), np.float32)
        directions[:, 1 : 1 + RANK, :columns] = table.nodes[..., :RANK].transpose(0, 2, 1)
        ratios = np.ones((rows, 3, wide), np.float32)
        ratios[..., :columns] = table.nodes[..., RANK:].transpose(0, 2, 1)
        arrays = (
            table.basis,
            directions,
            ratios,
            _on_grid(spectra, rows, columns),
            table.expansions,
            table.limits,
            table.fractions,
        )
        basis, *others = (torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in arrays)
        names = ("directions", "ratios", "spectra", "expansions", "limits", "fractions")
        low, high = ((float(end[0]), float(end[1])) for end in (table.lower, table.upper))
        return cls((rows, columns), basis, **dict(zip(names, others, strict=True)), lower=low, upper=high)

    @classmethod
    def of_nodes(cls, grid: SearchGrid, lower: np.ndarray, upper: np.ndarray, device: torch.device | str) -> Grid:
        """For the search by channels alone: from the nodes of a grid, without coordinates and expansions."""
        rows, columns = grid.shape
        fractions = np.zeros((rows * columns, 2, 3), np.float32)
        fractions[:, :, 0] = grid.x
        spectra, ends, none = (
            torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
            for values in (_on_grid(grid.spectra, rows, columns), fractions, np.zeros(1))
        )
        low, high = ((float(end[0]), float(end[1])) for end in (lower, upper))
        return cls((rows, columns), none, none, none, spectra, none, none, ends, low, high)

    @property
    def columns(self) -> int:
        """Columns as the kernel reads them."""
        return self.spectra.shape[2]


def _filled(columns: int) -> int:
    """Columns filled up to a power of two, at least one of them empty."""
    return max(16, triton.next_power_of_2(columns + 1))


def _on_grid(spectra: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Reflectance (node, channel) by row, channel and filled-up column."""
    filled = np.ones((rows, spectra.shape[1], _filled(columns)), np.float32)
    filled[..., :columns] = spectra.reshape(rows, columns, -1).transpose(0, 2, 1)
    return filled


@dataclass(frozen=True, eq=False)
class Channels:
    """How channels follow from the model at wavelengths: channel c is sum_k share[c, k] r(first[c] + k), k < length[c].

    `first` and `length` (channel,) int32; `share` (channel, widest) float32. Bands have one wavelength each.
    """

    first: Tensor
    length: Tensor
    share: Tensor

    @classmethod
    def of(cls, mixing: np.ndarray, device: torch.device | str) -> Channels:
        """From the matrix (channel, wavelength) of a camera; what lies between a channel's ends counts."""
        inside = mixing != 0
        first = inside.argmax(1)
        length = mixing.shape[1] - inside[:, ::-1].argmax(1) - first
        share = np.zeros((len(mixing), int(length.max())), np.float32)
        for row, start, count, values in zip(share, first, length, mixing, strict=True):
            row[:count] = values[start : start + count]
        return cls(*(torch.from_numpy(a).to(device) for a in (first.astype(np.int32), length.astype(np.int32), share)))
