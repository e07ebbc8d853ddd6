"""The one real multispectral face at hand, CAVE's `face_ms`, as an exam: its least-squares fit stands in for truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
import torch
import torch.nn.functional as F

import msfit
from biofacenet.exam import Face
from msfit.colour.transforms import encode_srgb
from msfit.mask import skin_mask
from msfit.metrics import Decomposition
from msfit.metrics.decomposition import in_unit

# Rows and columns of the white patch, of the face between brows, ears and chin, and of a square about the head.
_WHITE = (slice(400, 436), slice(30, 71))
_FACE = (slice(200, 430), slice(215, 420))
_SHOWN = (slice(110, 460), slice(140, 490))
# At 400 nm the patch returns half as much light as at 420, and the counts are mostly noise.
_BANDS = "420:700"
_SIZE = 64


#: What white = 1 means: the patch beside the man, or a card at his face, which is lit twice as strongly: the brightest
#: twentieth of the face's diffuse shading is 1.
EXPOSURES = ("patch", "face")


def real_face(path: Path, model: str, exposure: str = "patch") -> Face:
    """The face under D65 through the mean camera at 64 x 64, and its fit by `model` in wide bounds."""
    contents = scipy.io.loadmat(path)
    counts = contents["counts"].astype(np.float64)
    cube = msfit.Cube((counts / counts[_WHITE].mean(axis=(0, 1))).astype(np.float32), contents["wave"].ravel())
    mask = np.zeros(cube.shape, bool)
    mask[_FACE] = skin_mask(cube)[_FACE]
    fit = msfit.fit(cube, model=model, bands=_BANDS, mask=mask)
    share = _means(mask.astype(np.float64))
    gain = 1.0 if exposure == "patch" else 1 / float(np.nanquantile(fit.i_d, 0.95))
    maps = {"i_d": gain * fit.i_d, "i_s": gain * fit.i_s, "f_mel": fit.f_mel, "f_blood": fit.f_blood}
    maps["albedo"] = msfit.render(fit, what="albedo")
    over_face = {name: _means(np.nan_to_num(values)) for name, values in maps.items()}
    fitted_maps = {
        name: values / np.maximum(share, 1e-9)[(..., *[None] * (values.ndim - 2))] for name, values in over_face.items()
    }
    picture = _means(gain * msfit.render(cube, "D65", "mean")).astype(np.float32)
    return Face("CAVE", picture, share > 0.5, {"model": Decomposition(**fitted_maps, picture=picture)}, {})


def draw_panel(face: Face, estimate: Decomposition, path: Path) -> None:
    """The maps of a network above those of the fit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    axes = figure.subplots(2, 6)
    outside = np.where(face.mask, 1, np.nan)
    for row, (title, maps) in zip(axes, (("network", estimate), ("fit", face.truth["model"])), strict=True):
        assert maps.picture is not None
        assert maps.albedo is not None
        row[0].imshow(_display(maps.picture))
        row[0].set_title("reconstruction" if maps is estimate else "picture", fontsize=8)
        row[1].imshow(_display(maps.albedo * face.mask[..., None]))
        row[1].set_title(f"albedo, {title}", fontsize=8)
        shown = (
            ("melanin m", in_unit("f_mel", maps.f_mel, "heads"), 0.0, 0.7),
            ("blood m", in_unit("f_blood", maps.f_blood, "heads"), -0.7, 0.5),
            ("i_d", maps.i_d, 0.0, 2.5),
            ("i_s", maps.i_s, 0.0, 0.6),
        )
        for axis, (name, values, low, high) in zip(row[2:], shown, strict=True):
            axis.imshow(values * outside, vmin=low, vmax=high)
            axis.set_title(f"{name}, {title}", fontsize=8)
        for axis in row:
            axis.set_axis_off()
    figure.savefig(path, dpi=110)


def _means(values: np.ndarray) -> np.ndarray:
    """Area means of the part that is shown, (64, 64, ...)."""
    cut = torch.from_numpy(np.ascontiguousarray(values[_SHOWN], np.float64))
    channels = cut.reshape(*cut.shape[:2], -1).permute(2, 0, 1)[None]
    small = F.interpolate(channels, (_SIZE, _SIZE), mode="area")[0].permute(1, 2, 0)
    return small.reshape(_SIZE, _SIZE, *values.shape[2:]).numpy()


def _display(linear: np.ndarray) -> np.ndarray:
    return encode_srgb(torch.from_numpy(np.ascontiguousarray(linear, np.float64))).numpy()
