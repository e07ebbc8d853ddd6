"""Batches of photographs: a folder that `biofacenet prepare` made, or the CelebA pairs of Shu et al."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from biofacenet.data.celeba_shu import CelebAShu
from biofacenet.data.folder import REPORT, PreparedFolder
from biofacenet.training.losses import Batch
from msfit.errors import InputError


class Photographs:
    """Photographs in ever new order; of the pairs, fitted shading stands in for `i_d`, known up to a factor.

    Parameters
    ----------
    folder : str or Path
        Prepared photographs, where it holds their report; else pairs.
    size : int
        Photographs a batch; where there are fewer, some come twice.
    side : int
        Height and width [pixels]; pairs are 64 x 64.
    seed : int

    Raises
    ------
    InputError
        No such folder; neither kind in it; a damaged file.
    """

    def __init__(self, folder: str | Path, size: int, side: int, seed: int = 0) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"data.photos: {folder}: no such folder; expected prepared photographs, or pairs")
        prepared = (Path(folder) / REPORT).is_file()
        self._photographs: PreparedFolder | CelebAShu = PreparedFolder(folder, side) if prepared else CelebAShu(folder)
        # files of pairs are read by one thread at a time
        self._readers = ThreadPoolExecutor(4 if prepared else 1)
        self._size, self._seed = size, seed

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step."""
        count = len(self._photographs)
        steps = -(-count // self._size)
        turn, within = divmod(step, steps)
        order = np.random.default_rng((self._seed, turn)).permutation(count)
        chosen = order[np.arange(within * self._size, (within + 1) * self._size) % count]
        items = list(self._readers.map(self._photographs.__getitem__, map(int, chosen)))
        picture, mask = (torch.stack([item[name] for item in items]) for name in ("image", "mask"))
        shading = torch.stack([item["shading"] for item in items]) if "shading" in items[0] else None
        return Batch(picture, picture, (mask > 0.5).float(), i_d=shading)

    def close(self) -> None:
        """End the readers."""
        self._readers.shutdown()
