"""Portraits kept on disk before any camera, and batches of photographs of them, each time through other cameras."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biofacenet.data.kept import Turns, kept
from biofacenet.data.synthetic import Source
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, head_units
from biofacenet.training.losses import Batch
from msfit.colour.colorimetry import rgb_weights
from msfit.errors import InputError
from msfit.synth.bank import Bank, cache_folder
from msfit.synth.buffers import FACE
from msfit.synth.cameras import develop, random_cameras
from msfit.synth.people import SPLITS
from msfit.synth.portraits import portrait, random_paint, scenes
from msfit.synth.spectra import WAVELENGTHS, functions
from msfit.synth.tones import drawn_subject
from msfit.synth.truth import fitted_pigments

# Raised whenever a kept portrait of the same settings would look different.
_EDITION = 1
_CHUNK = 50
_PIGMENTS = ("f_mel", "f_blood", "scale", "offset")


class Portraits:
    """`count` portraits of a split, of every tone in equal shares, and batches of photographs of them.

    Parameters
    ----------
    source : Source
        `balance` does not count: classes of tone have equal shares, see `msfit.synth.tones`.
    size : int
        Photographs a batch.
    count : int
        Portraits to keep, about 0.15 MB each at 64 x 64; drawn where they are not there yet.
    workers : int
        Processes that draw them; 0: this one.
    folder : Path, optional
        $MSFIT_CACHE, else the user's cache folder.
    progress : callable (done, total), optional

    Attributes
    ----------
    ita : float32 array (count,)
        Individual typology angles [degrees].
    extrapolated : bool array (count,)
        As of `msfit.synth.tones.Toned`.
    """

    def __init__(
        self,
        source: Source,
        size: int,
        count: int,
        workers: int = 2,
        folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if not 1 <= size <= count:
            raise InputError(f"portraits: found {count} for batches of {size}; expected at least one batch")
        settings = (source.split, source.model, source.size, source.heads, source.seed, count)
        self.path = (folder or cache_folder()) / "-".join(map(str, ("portraits", _EDITION, *settings)))
        chunk = min(_CHUNK, count)
        self._layers = kept(
            self.path,
            functools.partial(_draw, source, chunk),
            count,
            chunk,
            workers,
            progress,
            vars(source),
            lambda: Bank(source.heads, source.size, source.split, workers=workers),
        )
        self.ita = self._layers.pop("ita").astype(np.float32)
        self.extrapolated = self._layers.pop("extrapolated") > 0
        self._seed, self._turns = source.seed, Turns(count, size, source.seed)

    def indices(self, step: int) -> np.ndarray:
        """Which portraits the batch of a step shows; after every `count // size` steps the order is drawn anew."""
        return self._turns[step]

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, through lamps and cameras of its own."""
        chosen = self.indices(step)
        layers = {name: torch.from_numpy(values[chosen].astype(np.float32)) for name, values in self._layers.items()}
        return photographed(layers, torch.Generator().manual_seed(self._seed * 1_000_003 + step))

    def close(self) -> None:
        """Nothing to end: as of `biofacenet.data.synthetic.Stream`."""


def photographed(layers: dict[str, Tensor], generator: torch.Generator) -> Batch:
    """Photographs of portraits with their truth in the skin model's terms, exposure in both shadings."""
    face = layers["face"]
    seen = scenes(layers["spectra"], torch.from_numpy(functions()), layers["i_d"], layers["gloss"], generator)
    developed = develop(seen.picture, face, random_cameras(len(face), generator), generator)
    m_mel, m_blood = (
        head_units(layers[name].clamp(min=0), most).clamp(-1, 1) * face
        for name, most in zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True)
    )
    i_d = layers["i_d"] * developed.exposure
    gloss = seen.gloss * developed.exposure
    return Batch(
        picture=developed.picture,
        clean=seen.picture * developed.exposure,
        mask=face,
        m_mel=m_mel,
        m_blood=m_blood,
        i_d=i_d * layers["scale"],
        i_s=gloss + i_d * layers["offset"],
        scale=layers["scale"],
        offset=layers["offset"],
        gloss=gloss,
        albedo=torch.einsum("nkyx,kc->ncyx", layers["spectra"], _albedo_weights()),
        lighting=seen.lighting,
        camera=seen.camera,
        cast=developed.cast,
    )


@functools.cache
def _albedo_weights() -> Tensor:
    """From coefficients of `functions` to linear sRGB under D65 to the standard observer, (k, 3)."""
    return torch.from_numpy((functions() @ rgb_weights(WAVELENGTHS)).astype(np.float32))


def _draw(source: Source, chunk: int, number: int) -> dict[str, np.ndarray]:
    """The layers of `chunk` portraits (n, channel, y, x), each drawn from its own index and the seed."""
    bank = Bank(source.heads, source.size, source.split)
    made, about = [], []
    for index in range(number * chunk, (number + 1) * chunk):
        rng = np.random.default_rng(np.random.SeedSequence((SPLITS.index(source.split), source.seed, index, 2)))
        buffers, person = bank[int(rng.integers(bank.count))], drawn_subject(rng, source.split)
        paint = random_paint(rng, bank.size, person.subject.ita, beard=not buffers.long_hair)
        made.append(portrait(buffers, person.subject, paint, rng))
        about.append((person.subject.ita, person.extrapolated))
    reflectance = np.stack([one.reflectance for one in made])
    face = np.stack([one.region for one in made]) == FACE
    layers = {"spectra": np.moveaxis(reflectance @ functions().T, -1, 1), "face": face[:, None]}
    for name in ("i_d", "gloss", "spots"):
        layers[name] = np.stack([getattr(one, name) for one in made])[:, None]
    # all at once: a pixel's fit does not depend on the others
    pigments = fitted_pigments(reflectance[face], WAVELENGTHS, source.model, "float32")
    for name in _PIGMENTS:
        layers[name] = np.zeros((len(face), 1, *face.shape[1:]), np.float32)
        layers[name][:, 0][face] = pigments[name]
    return {**layers, "ita": np.array([ita for ita, _ in about]), "extrapolated": np.array([far for _, far in about])}
