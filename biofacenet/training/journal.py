"""The record of a run: a row a epoch in log.csv, TensorBoard's curves, pictures of samples taken apart."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from biofacenet.networks.decoder import Decoder
from biofacenet.networks.network import Prediction
from biofacenet.training.losses import Batch
from msfit.colour.transforms import encode_srgb
from msfit.io.output import written_whole

_ROWS = (
    ("m_mel", "melanin m", -0.5, 1.0),
    ("m_blood", "blood m", -0.6, 0.6),
    ("i_d", "i_d", 0, 1.5),
    ("i_s", "i_s", 0, 0.5),
)


class Journal:
    """Writes to a folder; rows after `step`, of a run that was broken off beyond its checkpoint, are dropped.

    TensorBoard's curves are left out where it is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.path = folder, folder / "log.csv"
        self._rows: list[dict[str, Any]] = []
        if step and self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self._curves: Any = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._curves = SummaryWriter(str(folder), purge_step=step)

    def write(
        self, step: int, state: Mapping[str, float], terms: Mapping[str, float], figures: Mapping[str, float]
    ) -> None:
        """One row: the run's state, mean terms of the loss since the last row, validation figures."""
        named = {**state, **{f"loss/{k}": v for k, v in terms.items()}, **{f"rmse/{k}": v for k, v in figures.items()}}
        self._rows.append({"step": step, **{name: f"{value:.6g}" for name, value in named.items()}})
        with written_whole(self.path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self._rows[-1]), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self._rows)
        if self._curves is not None:
            for name, value in named.items():
                self._curves.add_scalar(name, value, step)
            self._curves.flush()

    def panel(self, step: int, batch: Batch, prediction: Prediction, decoder: Decoder, count: int) -> None:
        """Draw the first `count` samples: picture and reconstruction, then each map beside its truth."""
        from matplotlib.figure import Figure

        pictures = {"picture": batch.picture, "reconstruction": decoder(*prediction[:6]).clamp(0, 1)}
        figure = Figure(figsize=(1.3 * (2 + 2 * len(_ROWS)), 1.35 * count), layout="constrained")
        axes = figure.subplots(count, 2 + 2 * len(_ROWS), squeeze=False)
        for row, line in enumerate(axes):
            mask = batch.mask[row, 0].cpu().numpy() > 0
            for axis, (title, values) in zip(line, pictures.items(), strict=False):
                axis.imshow(encode_srgb(_here(values[row])).permute(1, 2, 0).numpy())
                axis.set_title(title, fontsize=6)
            for number, (name, title, low, high) in enumerate(_ROWS):
                for side, source in enumerate((prediction, batch)):
                    axis, values = line[2 + 2 * number + side], _here(getattr(source, name)[row, 0]).numpy()
                    axis.imshow(values * mask, vmin=low, vmax=high)
                    axis.set_title(f"{title}{', truth' if side else ''}", fontsize=6)
            for axis in line:
                axis.set_axis_off()
        folder = self.folder / "panels"
        folder.mkdir(exist_ok=True)
        with written_whole(folder / f"{step:07d}.png") as part:
            figure.savefig(part, dpi=90)

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._curves is not None:
            self._curves.close()


def _here(values: Tensor) -> Tensor:
    return values.detach().cpu().float()
