"""The map of the gap of a stand-in face, and how gaps are spread: docs/images/certificate.png.

Usage: python -m benchmarks.certificate_figures [SCENE]    default: data_iset/scenes/standin-01.mat
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import msfit
from benchmarks.certificate import MODELS, ROOT
from msfit.io.output import written_whole
from msfit.plot.style import INK, caption, new_figure
from msfit.solve.certificate.certificate import GLOBAL_GAP

_IMAGE = ROOT / "docs" / "images" / "certificate.png"
_COLOURS = ("#8b5331", "#0072b2")


def main() -> None:
    """Fit, certify and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="?", type=Path, default=ROOT / "data_iset" / "scenes" / "standin-01.mat")
    cube = msfit.load(parser.parse_args().scene)
    fits = [msfit.fit(cube, model=model, certify=True) for model in MODELS]
    for fit in fits:
        print(fit)
    figure = new_figure(14, 4.2)
    spots = figure.add_gridspec(1, 4)
    _map(figure, figure.add_subplot(spots[0]), fits[1].rmse, 0.02, "RMSE", f"{MODELS[1]}, a stand-in face")
    for spot, fit in zip((spots[1], spots[2]), fits, strict=True):
        _map(figure, figure.add_subplot(spot), np.asarray(fit.gap), GLOBAL_GAP, "Gap", fit.model)
    axes = figure.add_subplot(spots[3])
    for fit, colour in zip(fits, _COLOURS, strict=True):
        gap = np.asarray(fit.gap)[fit.fitted]
        axes.hist(gap, bins=50, range=(0, GLOBAL_GAP), histtype="step", color=colour, label=fit.model)
    axes.set_xlabel("gap in RMSE", color=INK)
    axes.set_ylabel("pixels", color=INK)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    caption(axes, "Gaps of all pixels")
    with written_whole(_IMAGE) as part:
        figure.savefig(part, format="png", dpi=110)


def _map(figure: Figure, axes: Axes, values: np.ndarray, highest: float, title: str, note: str) -> None:
    image = axes.imshow(values, vmin=0, vmax=highest, cmap="viridis", interpolation="nearest")
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.85, pad=0.02, aspect=30)
    caption(axes, title, note)


if __name__ == "__main__":
    main()
