"""What a streamed fit is made from, told so that another process, or a later one, can do the same."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msfit import __version__
from msfit.data.channels import Channels
from msfit.data.cube import Cube
from msfit.data.memory import resident, told
from msfit.data.prior import SkinPrior
from msfit.errors import InputError
from msfit.fitting.inputs import in_channels, masked
from msfit.fitting.options import FitOptions
from msfit.fitting.plan import Prepared, prepare
from msfit.io import files_of, load
from msfit.skin.registry import SkinModel

_BYTES_TO_FIND_SKIN = 40  # a pixel: flags, labels and areas of patches
_LOOK = 30  # s between looks at whether a file has changed
_BYTES_OF_A_STRIP = 200_000_000  # in which skin is sought, with its smoothed copies


@dataclass(frozen=True)
class Recipe:
    """A file and how it is to be fitted.

    Attributes
    ----------
    path : Path
        Absolute.
    loading : mapping
        Arguments of `msfit.load`, `memory` among them.
    options : FitOptions
        Without what cannot be sent to another process: mask and functions.
    """

    path: Path
    loading: Mapping[str, Any]
    options: FitOptions

    @classmethod
    def of(cls, path: str | Path, loading: Mapping[str, Any], options: FitOptions) -> Recipe:
        """With the paths in it made absolute, as workers have a working directory of their own."""
        files = {name: v for name, v in loading.items() if isinstance(v, str | Path) and Path(v).exists()}
        absolute = {name: str(Path(file).absolute()) for name, file in files.items()}
        return cls(
            Path(path).absolute(), {**loading, **absolute}, replace(options, mask=None, progress=None, tell=None)
        )

    def prepare(self, mask: Any) -> Prepared:
        """Open the file and settle the fit; the mask is that of `fit_file`."""
        cube = load(self.path, **self.loading)
        with about(self.path):
            cube = in_channels(cube, self.options)
            return prepare(cube if mask is None else _masked(cube, mask, self.loading["memory"]), self.options)

    def fingerprint(self) -> list[Any]:
        """Sizes and dates of the files: as long as they agree, so do the samples."""
        files = [self.path, *(Path(v) for v in self.loading.values() if isinstance(v, str | Path) and Path(v).exists())]
        return [[file.stat().st_size, file.stat().st_mtime_ns] for path in files for file in files_of(path)]

    def settings(self, prepared: Prepared) -> dict[str, Any]:
        """All that the maps depend on, by names that a user knows, as plain JSON."""
        elsewhere = ("model", "bounds", "bands", "dtype", "device", "loading", "memory", "scheduler", "resume")
        model, cube = prepared.model, prepared.cube
        nm = np.linspace(*model.wavelength_range, 16) if cube.channels is None else cube.wavelengths
        ends = np.array([parameter.wide for parameter in model.parameters])
        points = ends[:, 0] + np.random.default_rng(0).uniform(size=(16, len(ends))) * (ends[:, 1] - ends[:, 0])
        return {
            "version": __version__,
            "source": self.fingerprint(),
            "model": [model.name, _digest(_reflectance(model, nm, points))],
            "bounds": {name: list(ends) for name, ends in prepared.worker.box.items()},
            "bands": _digest(cube.wavelengths),
            "mask": None if cube.mask is None else _digest(cube.mask),
            "dtype": prepared.worker.dtype.name,
            "device": prepared.worker.device.type,
            **{name: _plain(value) for name, value in self.loading.items() if name != "memory"},
            **{name: _plain(value) for name, value in self.options.given().items() if name not in elsewhere},
        }


def _reflectance(model: SkinModel, nm: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What tells a model from another of its name."""
    skin = model.in_numpy(nm)
    if skin is not None:
        return np.asarray(skin.reflectance(x))
    import torch  # a user's own model

    return np.asarray(model.at(nm).reflectance(torch.from_numpy(x)))


class Watch:
    """Notices that the files of a recipe change while they are being fitted: the maps would mix two states."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._first, self._looked = recipe, _fingerprint(recipe), time.monotonic()

    def look(self, give_up: Callable[[], None], *, at_once: bool) -> None:
        """Compare sizes and dates, `at_once` or when it is time again; give up where they differ.

        Raises
        ------
        InputError
            They do.
        """
        if at_once or time.monotonic() - self._looked > _LOOK:
            if _fingerprint(self._recipe) != self._first:
                give_up()
                raise InputError(
                    f"{self._recipe.path}: was changed while it was being fitted, so that its maps mix two states: they"
                    " are given up; run again when it is complete"
                )
            self._looked = time.monotonic()


def _fingerprint(recipe: Recipe) -> list[Any] | None:
    try:
        return recipe.fingerprint()
    except (InputError, OSError):  # not there, of which `load` says more
        return None


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the file in an error that does not."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _masked(cube: Cube, mask: Any, memory: int) -> Cube:
    if isinstance(mask, str) and mask == "auto":
        needed = resident() + _BYTES_TO_FIND_SKIN * math.prod(cube.shape) + _BYTES_OF_A_STRIP
        if needed > memory:
            raise InputError(
                f"mask auto: cleans the map of the whole picture, for which {told(memory)} are too little; expected at"
                f" least {told(needed)}, or a mask, an array or a file"
            )
    return masked(cube, mask)


def _plain(value: Any) -> Any:
    if isinstance(value, Channels):
        return _digest(np.concatenate((value.wavelengths, value.responses.ravel())))
    if isinstance(value, SkinPrior):
        arrays = (value.mean, value.covariance, value.shares, value.residual)
        return [*value.names, *(_digest(array) for array in arrays if array is not None)]
    if isinstance(value, np.ndarray):
        return _digest(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(held) for name, held in value.items()}
    return json.loads(json.dumps(sorted(value) if isinstance(value, set) else value, default=repr))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
