"""The CelebA pairs of Shu et al.: faces with fitted normals, and the light on each in spherical harmonics.

Two HDF5 files a pair, as released with the paper's code; each holds one array, `zx_7`:

- ``zx_7_d10_inmc_celebA_NN.hdf5``, (n, 10, 64, 64): picture (0-2), normals (3-5), mask (6), coordinates (7-9)
- ``zx_7_d3_lrgb_celebA_NN.hdf5``, (n, 3, 9): nine coefficients of light a colour channel

References
----------
Z. Shu, E. Yumer, S. Hadap, K. Sunkavalli, E. Shechtman, D. Samaras, "Neural face editing with intrinsic image
disentangling", CVPR 2017. R. Ramamoorthi, P. Hanrahan, "An efficient representation for irradiance environment maps",
SIGGRAPH 2001.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.inside import outside_of

_ARRAY = "zx_7"
_PICTURES, _LIGHTS = "_d10_inmc_", "_d3_lrgb_"
_EXPECTED = "expected the HDF5 files of Shu et al., zx_7_d10_inmc_celebA_NN.hdf5 and zx_7_d3_lrgb_celebA_NN.hdf5"
# How many samples, spread over a file, tell its encoding.
_LOOKED_AT = 16
# Bytes of a chunk, which HDF5 unpacks as a whole.
_LARGEST_PIECE = 1 << 28
# What h5py raises where a file is damaged: of links and headers a KeyError, of types a ValueError or a TypeError.
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
# Ramamoorthi & Hanrahan 2001, eq 12.
_C1, _C2, _C3, _C4, _C5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708


def shading_of(normals: Tensor, lights: Tensor) -> Tensor:
    """Irradiance on surfaces under lights of nine spherical harmonics.

    ``S = n^T K(L) n`` with n = (x, y, z, 1) and

    ``K = [[ c1 L22,  c1 L2-2, c1 L21,  c2 L11        ],``
    ``     [ c1 L2-2, -c1 L22, c1 L2-1, c2 L1-1       ],``
    ``     [ c1 L21,  c1 L2-1, c3 L20,  c2 L10        ],``
    ``     [ c2 L11,  c2 L1-1, c2 L10,  c4 L00 - c5 L20]]``

    Parameters
    ----------
    normals : tensor (..., 3, y, x)
        Unit normals.
    lights : tensor (..., channel, 9)
        L00, L1-1, L10, L11, L2-2, L2-1, L20, L21, L22.

    Returns
    -------
    tensor (..., channel, y, x)
        [1]. Not clipped: harmonics can be negative in deep shade.

    References
    ----------
    Ramamoorthi & Hanrahan 2001, eq 11-12; Shu et al. 2017, eq 4-5.
    """
    l00, l1m1, l10, l11, l2m2, l2m1, l20, l21, l22 = lights.unbind(-1)
    rows = [
        torch.stack([_C1 * l22, _C1 * l2m2, _C1 * l21, _C2 * l11], dim=-1),
        torch.stack([_C1 * l2m2, -_C1 * l22, _C1 * l2m1, _C2 * l1m1], dim=-1),
        torch.stack([_C1 * l21, _C1 * l2m1, _C3 * l20, _C2 * l10], dim=-1),
        torch.stack([_C2 * l11, _C2 * l1m1, _C2 * l10, _C4 * l00 - _C5 * l20], dim=-1),
    ]
    matrix = torch.stack(rows, dim=-2)
    homogeneous = torch.cat([normals, torch.ones_like(normals[..., :1, :, :])], dim=-3)
    return torch.einsum("...iyx,...cij,...jyx->...cyx", homogeneous, matrix, homogeneous)


class CelebAShu(Dataset[dict[str, Tensor]]):
    """The pairs in a folder, or those named, one face an item.

    Nothing is read before it is asked for, and every worker opens the files for itself.

    Parameters
    ----------
    source : str, Path, or iterable of them
        A folder with pairs, or the files zx_7_d10_inmc_* themselves, each with its zx_7_d3_lrgb_* beside it.
    order : {"auto", "rgb", "bgr"}
        Of the picture's channels in the files. "auto" looks: skin is redder than blue.

    Notes
    -----
    An item is a dict of float32 tensors: image (3, 64, 64), linear RGB, white = 1; mask (1, 64, 64), 1 on the face;
    normals (3, 64, 64), unit length where the mask is; shading (1, 64, 64), that of the three lights' mean, not
    negative, known up to a factor; lights (3, 9).

    Raises
    ------
    InputError
        No pair; a file that is damaged or holds something else; pairs that do not match.
    """

    def __init__(self, source: str | Path | Iterable[str | Path], order: str = "auto") -> None:
        if order not in ("auto", "rgb", "bgr"):
            raise InputError(f"order: found {order!r}; expected 'auto', 'rgb' or 'bgr'")
        self._pairs = _pairs(source)
        self._open: dict[Path, Any] = {}
        self._owner = os.getpid()
        counts = []
        self._turned, self._signed = [], []
        for pictures, lights in self._pairs:
            counts.append(self._count(pictures, lights))
            some = self._look(pictures, counts[-1])
            self._turned.append(order == "bgr" or (order == "auto" and _is_bgr(some)))
            self._signed.append(bool(some[:, 3:6].min() < -0.05))
        self._ends = np.cumsum(counts)
        self._close()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        pair = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[pair - 1]) if pair else 0)
        pictures, lights = self._pairs[pair]
        face, light = self._read(pictures, row), torch.from_numpy(self._read(lights, row))
        image = torch.from_numpy(face[2::-1].copy() if self._turned[pair] else face[:3])
        normals = torch.from_numpy(face[3:6])
        normals = normals if self._signed[pair] else 2 * normals - 1
        normals = torch.nn.functional.normalize(normals, dim=0)
        return {
            "image": decode_srgb(image),
            "mask": torch.from_numpy(face[6:7] > 0.5).float(),
            "normals": normals,
            "shading": shading_of(normals, light.mean(0, keepdim=True)).clamp(min=0),
            "lights": light,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def _count(self, pictures: Path, lights: Path) -> int:
        first, second = self._array(pictures).shape, self._array(lights).shape
        for path, shape, wanted in ((pictures, first, (10, 64, 64)), (lights, second, (3, 9))):
            if shape[1:] != wanted or not shape[0]:
                raise InputError(f"{path}: {_ARRAY} has shape {shape}; expected (n, {', '.join(map(str, wanted))})")
        if first[0] != second[0]:
            raise InputError(f"{lights}: {second[0]} lights for {first[0]} faces; expected one each: get the pair anew")
        return int(first[0])

    def _look(self, path: Path, count: int) -> np.ndarray:
        rows = np.unique(np.linspace(0, count - 1, _LOOKED_AT).astype(int))
        some = np.stack([self._read(path, int(row)) for row in rows])
        pictures = some[:, [0, 1, 2, 6]]
        if not np.isfinite(some).all() or pictures.min() < -0.01 or pictures.max() > 1.01:
            raise InputError(f"{path}: picture or mask outside 0..1, or not finite; {_EXPECTED}")
        return some

    def _read(self, path: Path, row: int) -> np.ndarray:
        try:
            return np.asarray(self._array(path)[row], np.float32)
        except _DAMAGE as error:
            raise InputError(f"{path}: damaged at sample {row} ({said(error)}); get the file anew") from None

    def _array(self, path: Path) -> Any:
        if self._owner != os.getpid():
            # handles of HDF5 do not survive a fork
            self._open, self._owner = {}, os.getpid()
        if path not in self._open:
            try:
                self._open[path] = self._checked(path, need("h5py").File(path, "r"))
            except _DAMAGE as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(f"{path}: damaged, or no HDF5 ({said(error)}); {_EXPECTED}") from None
        return self._open[path][_ARRAY]

    @staticmethod
    def _checked(path: Path, file: Any) -> Any:
        """The file, if it holds the array itself, in pieces of which none is much larger than a sample."""
        if elsewhere := outside_of(file).get(_ARRAY):
            raise InputError(f"{path}: {_ARRAY} is {elsewhere}; expected it in the file itself")
        found = file.get(_ARRAY)
        if not hasattr(found, "chunks") or found.dtype.kind not in "fui":
            contents = ", ".join(list(file)[:5]) or "nothing"
            raise InputError(f"{path}: holds {contents}, no array {_ARRAY}; {_EXPECTED}")
        if math.prod(found.chunks or ()) * found.dtype.itemsize > _LARGEST_PIECE:
            raise InputError(f"{path}: {_ARRAY} lies in pieces of {found.chunks}; expected up to 256 MiB: rewrite it")
        return file

    def _close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}


def _pairs(source: str | Path | Iterable[str | Path]) -> list[tuple[Path, Path]]:
    given = [Path(source)] if isinstance(source, str | Path) else [Path(path) for path in source]
    files: list[Path] = []
    for path in given:
        files += sorted(path.glob(f"*{_PICTURES}*.hdf5")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{', '.join(map(str, given)) or 'source'}: no pair found; {_EXPECTED}")
    pairs = []
    for path in files:
        if _PICTURES not in path.name:
            raise InputError(f"{path}: not the name of a file of faces; {_EXPECTED}")
        lights = path.with_name(path.name.replace(_PICTURES, _LIGHTS))
        absent = [one for one in (path, lights) if not one.is_file()]
        if absent:
            raise InputError(f"{absent[0]}: there is no such file; {_EXPECTED}")
        pairs.append((path, lights))
    return pairs


def _is_bgr(faces: np.ndarray) -> bool:
    """Whether the first channel is blue, by the skin of faces (n, 10, y, x)."""
    skin = faces[:, 6] > 0.5
    first, last = (float(faces[:, channel][skin].mean()) for channel in (0, 2)) if skin.any() else (1.0, 0.0)
    return first < last
