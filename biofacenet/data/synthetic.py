"""Samples with known truth, from the endless stream of `msfit.synth`: drawn as they are needed, or kept on disk."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biofacenet.data.kept import Turns, kept, pool
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, head_units, lighting_of_daylight
from biofacenet.training.losses import Batch
from msfit.errors import InputError
from msfit.skin.models import REFERENCE_MODEL
from msfit.synth import Bank, samples
from msfit.synth.bank import cache_folder
from msfit.synth.people import wearable
from msfit.synth.sampling import subject_of

#: Maps of `msfit.synth.samples` that training uses.
MAPS = ("image", "mask", "f_mel", "f_blood", "i_d", "i_s", "scale", "offset", "albedo", "light", "camera")
# Raised whenever a kept sample of the same settings would look different.
_EDITION = 1
_CHUNK = 32
D65_KELVIN = 6504.0
# Samples of the stream that a batch chooses from, for each that it takes.
_STRETCH = 64


@dataclass(frozen=True)
class Source:
    """Which samples.

    Attributes
    ----------
    split : {"train", "validation", "test"}
    seed : int
        Of the stream.
    heads : int
        Heads in the bank.
    model : str
        Skin model whose fit is the truth, in its `wide` bounds.
    size : int
        Height and width of the pictures.
    balance : float
        How far classes of skin tone are brought to equal shares: 0 leaves them as they are among the subjects, where
        dark and very light skin is rare; 1 makes them equal.
    """

    split: str = "train"
    seed: int = 0
    heads: int = 768
    model: str = REFERENCE_MODEL
    size: int = 64
    balance: float = 0.0

    def chances(self, indices: Iterable[int]) -> np.ndarray:
        """How often each sample of the stream is to be taken, float64 (n,); 1 for the rarest class."""
        shares = _class_shares(self.split)
        rarest = min(shares.values())
        tones = (subject_of(int(index), seed=self.seed, split=self.split).ita_class for index in indices)
        return np.array([(rarest / shares[tone]) ** self.balance for tone in tones])


@functools.cache
def _class_shares(split: str) -> dict[str, float]:
    """Share of the subjects in each class of skin tone."""
    people = wearable(split)
    return {tone: n / len(people) for tone, n in Counter(one.ita_class for one in people).items()}


def draw(source: Source, indices: Iterable[int]) -> dict[str, Tensor]:
    """Samples of those indices, `MAPS` of `msfit.synth.samples`.

    The even ones are seen under D65 through the mean camera, the odd ones under light and camera of their own.
    """
    wanted = list(indices)
    bank = Bank(source.heads, source.size, source.split)
    even = torch.tensor([index % 2 == 0 for index in wanted])
    together: dict[str, Tensor] = {}
    for own, pictures in ((even, "reference"), (~even, "varied")):
        some = [index for index, here in zip(wanted, own.tolist(), strict=True) if here]
        if not some:
            continue
        made = samples(some, seed=source.seed, bank=bank, split=source.split, model=source.model, pictures=pictures)
        for name in MAPS:
            values = made[name]
            together.setdefault(name, values.new_empty(len(wanted), *values.shape[1:]))[own] = values
    together["light"][even] = lighting_of_daylight(D65_KELVIN)
    return together


def as_batch(drawn: dict[str, Tensor]) -> Batch:
    """A batch from `draw`, its truth in the skin model's terms: ``i_d scale`` and ``i_s + i_d offset``."""
    sample = {name: values.float() for name, values in drawn.items()}
    mask = sample["mask"]
    m_mel, m_blood = (
        head_units(sample[name].clamp(min=0), most).clamp(-1, 1)
        for name, most in zip(("f_mel", "f_blood"), HIGHEST_FRACTIONS, strict=True)
    )
    return Batch(
        picture=sample["image"].clamp(0, 1),
        clean=sample["image"],
        mask=mask,
        m_mel=m_mel * mask,
        m_blood=m_blood * mask,
        i_d=sample["i_d"] * sample["scale"],
        i_s=sample["i_s"] + sample["i_d"] * sample["offset"],
        scale=sample["scale"],
        offset=sample["offset"],
        albedo=sample["albedo"],
        lighting=sample["light"],
        camera=sample["camera"],
    )


class Stream:
    """The endless stream, drawn ahead by worker processes.

    Parameters
    ----------
    source : Source
    size : int
        Samples a batch.
    workers : int
        Processes; batches do not depend on their number. 0: drawn in this process, when they are asked for.
    """

    def __init__(self, source: Source, size: int, workers: int = 2) -> None:
        self._source, self._size, self._ahead = source, size, 2 * workers
        self._pending: dict[int, Future[dict[str, Tensor]]] = {}
        Bank(source.heads, source.size, source.split, workers=workers)
        self._pool = pool(workers)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step: of each further sample of the stream, if its chance admits it, else of the next."""
        self._pending = {number: job for number, job in self._pending.items() if number >= step}
        for number in range(step, step + self._ahead + 1):
            if number not in self._pending:
                self._pending[number] = self._pool.submit(_draw_batch, self._source, number, self._size)
        return as_batch(self._pending.pop(step).result())

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)


def chosen(source: Source, number: int, size: int) -> list[int]:
    """Samples of one batch: from its own stretch of the stream, each as its chance admits it."""
    if not source.balance:
        return list(range(number * size, (number + 1) * size))
    rng = np.random.default_rng((source.seed, number))
    stretch = range(number * size * _STRETCH, (number + 1) * size * _STRETCH)
    taken: list[int] = []
    for index in stretch:
        if len(taken) == size:
            break
        # the last ones are taken unasked where chance was unkind
        if rng.random() < source.chances([index])[0] or stretch.stop - index <= size - len(taken):
            taken.append(index)
    return taken


def _draw_batch(source: Source, number: int, size: int) -> dict[str, Tensor]:
    return draw(source, chosen(source, number, size))


class Kept:
    """The first `count` samples that `Stream` gives, kept on disk in half precision and taken in ever new order.

    Parameters
    ----------
    source : Source
    size : int
        Samples a batch.
    count : int
        Samples to keep, about 0.1 MB each at 64 x 64; drawn where they are not there yet.
    workers : int
        Processes that draw them; 0: this one.
    folder : Path, optional
        $MSFIT_CACHE, else the user's cache folder.
    progress : callable (done, total), optional
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
            raise InputError(f"samples: found {count} for batches of {size}; expected at least one batch")
        settings = (source.split, source.model, source.size, source.heads, source.seed, source.balance, count)
        self.path = (folder or cache_folder()) / "-".join(map(str, ("samples", _EDITION, *settings)))
        chunk = min(_CHUNK, count)
        self._arrays = kept(
            self.path,
            functools.partial(_draw_arrays, source, chunk),
            count,
            chunk,
            workers,
            progress,
            vars(source),
            lambda: Bank(source.heads, source.size, source.split, workers=workers),
        )
        self._turns = Turns(count, size, source.seed)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step; after every `count // size` steps the order is drawn anew."""
        chosen = self._turns[step]
        return as_batch({name: torch.from_numpy(self._arrays[name][chosen]) for name in MAPS})

    def close(self) -> None:
        """Nothing to end: as of `Stream`."""


def _draw_arrays(source: Source, chunk: int, number: int) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in _draw_batch(source, number, chunk).items()}
