"""Least squares straight on the RGB picture: the same image formation as the network's decoder, light and camera known.

A pixel has three numbers for four unknowns, so a prior closes the problem: the joint Gaussian of the training stream
over both pigments (in the unit of the network's heads) and both shadings. Minimised a pixel:

    |rgb - i_d A(f_mel, f_blood) - i_s|^2 / sigma^2 + (x - mean)' C^-1 (x - mean),   i_d, i_s >= 0

The colour of skin is tabulated over the pigments, as the network's decoder tabulates it. Every eighth node is tried
with the shadings in closed form, then every second about the best of these, then every one about that.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.table1.training import statistics
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.metrics import Decomposition
from msfit.skin.models import get_model
from msfit.synth.spectra import WAVELENGTHS

# Noise of the picture and error of the decoder [linear RGB].
_SIGMA = 0.01
_NODES = 257
_STRIDES = (8, 2, 1)
_PIXELS_AT_ONCE = 1024


class RgbFit:
    """Maximum a posteriori decomposition of every pixel of an RGB picture under D65 through the mean camera.

    Parameters
    ----------
    model : str
        Skin model, one for which there are `statistics` of the training stream.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        prior = statistics(model)
        mean, covariance = torch.from_numpy(prior.mean), torch.from_numpy(prior.covariance)
        axis = torch.linspace(-1, 1, _NODES, dtype=torch.float64)
        self._nodes = torch.cartesian_prod(axis, axis)
        pigments = [fractions(self._nodes[:, k], most) for k, most in enumerate(HIGHEST_FRACTIONS)]
        skin = get_model(model).at(WAVELENGTHS).reflectance(torch.stack(pigments, -1))
        self._albedo = skin @ torch.from_numpy(rgb_weights(WAVELENGTHS))
        colour = skin @ torch.from_numpy(rgb_weights(WAVELENGTHS, "D65", mean_camera()))
        # the prior of the shadings given the pigments: its mean moves with them, its precision does not
        between = torch.linalg.inv(covariance[:2, :2])
        self._precision = torch.linalg.inv(covariance)[2:, 2:]
        away = self._nodes - mean[:2]
        expected = mean[2:] + away @ (covariance[2:, :2] @ between).T
        pull = expected @ self._precision
        constant = ((away @ between) * away).sum(-1) + (pull * expected).sum(-1)
        self._table = torch.cat([colour, pull, constant[:, None]], 1).float()

    def __call__(self, picture: np.ndarray) -> Decomposition:
        """Decompose a linear RGB picture (y, x, 3)."""
        pixels = torch.from_numpy(picture.reshape(-1, 3).astype(np.float32))
        fits = [self._fit(part) for part in pixels.split(_PIXELS_AT_ONCE)]
        node, i_d, i_s = (torch.cat(parts) for parts in zip(*fits, strict=True))
        shape = picture.shape[:2]
        m = self._nodes[node].numpy()
        again = i_d[:, None] * self._table[node, :3] + i_s[:, None]
        f_mel, f_blood = (fractions(m[:, k], most).reshape(shape) for k, most in enumerate(HIGHEST_FRACTIONS))
        return Decomposition(
            i_d.numpy().reshape(shape),
            i_s.numpy().reshape(shape),
            self._albedo[node].numpy().reshape(*shape, 3),
            f_mel,
            f_blood,
            again.numpy().reshape(*shape, 3),
        )

    def _fit(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best node of each pixel (n,), and its shadings."""
        rows = torch.zeros(1, dtype=torch.int64) + _NODES // 2
        columns, reach = rows, _NODES // 2
        for stride in _STRIDES:
            steps = torch.arange(-reach, reach + 1, stride)
            down, across = (part.flatten() for part in torch.meshgrid(steps, steps, indexing="ij"))
            nodes = (rows[:, None] + down).clamp(0, _NODES - 1) * _NODES + (columns[:, None] + across).clamp(
                0, _NODES - 1
            )
            node, i_d, i_s = self._best(pixels, nodes)
            rows, columns, reach = node // _NODES, node % _NODES, stride
        return node, i_d, i_s

    def _best(self, pixels: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of nodes (1 or n, node) the best for each of pixels (n, 3): its index (n,), i_d (n,) and i_s (n,)."""
        colour, pull, constant = self._table[nodes].split((3, 2, 1), -1)
        p00, p01, p11 = (float(self._precision[k]) for k in ((0, 0), (0, 1), (1, 1)))
        per = 1 / _SIGMA**2
        h00, h01, h11 = per * (colour * colour).sum(-1) + p00, per * colour.sum(-1) + p01, 3 * per + p11
        overlap = pixels @ colour[0].T if len(nodes) == 1 else (colour @ pixels[..., None])[..., 0]
        b0 = per * overlap + pull[..., 0]
        b1 = per * pixels.sum(-1, keepdim=True) + pull[..., 1]
        determinant = h00 * h11 - h01 * h01
        i_d, i_s = (h11 * b0 - h01 * b1) / determinant, (h00 * b1 - h01 * b0) / determinant
        alone_d, alone_s = (b0 / h00).clamp(min=0), (b1 / h11).clamp(min=0)
        diffuse_only, no_diffuse = i_s < 0, i_d < 0
        i_d, i_s = (
            torch.where(diffuse_only, alone_d, torch.where(no_diffuse, 0, i_d)),
            torch.where(diffuse_only, 0, torch.where(no_diffuse, alone_s, i_s)),
        )
        # the objective without what does not depend on the node
        cost = h00 * i_d**2 + 2 * h01 * i_d * i_s + h11 * i_s**2 - 2 * (b0 * i_d + b1 * i_s) + constant[..., 0]
        winner = cost.argmin(1, keepdim=True)
        node = nodes.expand(len(pixels), -1).gather(1, winner)
        return node[:, 0], i_d.gather(1, winner)[:, 0], i_s.gather(1, winner)[:, 0]
