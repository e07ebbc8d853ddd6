"""The 25 stand-in scenes: an exam for fits and networks, frozen, in place of faces that cannot be shipped."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from msfit.synth.files import BASIS_FUNCTIONS, check_others, made_folder, write_if_absent

#: Picture size [pixels], and the skin model whose fit to the true reflectance is the pigments' truth.
STANDIN_SIZE = 256
STANDIN_MODEL = "alotaibi-smith-2019"


class Standin(NamedTuple):
    """What defines a stand-in scene: everything else follows from it."""

    name: str
    person: str
    ita_class: str
    seed: int


@functools.cache
def standins() -> tuple[Standin, ...]:
    """The stand-in scenes: test persons, four of each class of skin tone and five of "dark"."""
    text = resources.files("msfit.synth").joinpath("data", "standins.csv").read_text(encoding="ascii")
    rows = csv.DictReader(text.splitlines())
    return tuple(Standin(row["name"], row["person"], row["ita_class"], int(row["seed"])) for row in rows)


def write_standins(
    folder: str | Path, progress: Callable[[int, int], None] | None = None, *, overwrite: bool = True
) -> list[Path]:
    """Build the 25 stand-in scenes, 256 x 256: NAME.mat with six basis functions, NAME_truth.nc beside it.

    A scene that is already there, whole, is left alone, so that an interrupted run goes on where it stopped. What is
    built can be compared with `data_iset/manifest.json` by `msfit.synth.files.digest`.

    Parameters
    ----------
    folder : str or Path
        Is made if absent.
    progress : callable (done, total), optional
    overwrite : bool
        Whether other files of their names are written over; False refuses them.

    Returns
    -------
    list of Path
        The .mat files, in order.

    Raises
    ------
    InputError
        A folder that cannot be written to.
    """
    folder = made_folder(folder)
    scenes = [
        {
            "name": standin.name,
            "person": standin.person,
            "seed": standin.seed,
            "size": STANDIN_SIZE,
            "mode": "measured",
            "model": STANDIN_MODEL,
            "split": "test",
        }
        for standin in standins()
    ]
    if not overwrite:
        check_others(folder, scenes)
    paths = []
    for settings in scenes:
        paths.append(write_if_absent(folder, settings, BASIS_FUNCTIONS))
        if progress is not None:
            progress(len(paths), len(standins()))
    return paths
