"""Faces that are kept on disk, and batches of them photographed, cut out and made worse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from biofacenet.data.kept import kept
from biofacenet.photo.reading import PHOTO_EXTENSIONS, linear_light, read_photo
from biofacenet.restoration.degradation import apply, random_hole, random_steps, summed
from biofacenet.restoration.holes import surrounded
from biofacenet.restoration.network import numbers_of
from biofacenet.restoration.shrinkage import calmed
from biofacenet.restoration.textures import detail, natural
from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError
from msfit.synth.bank import Bank, cache_folder
from msfit.synth.buffers import FACE
from msfit.synth.cameras import develop, random_cameras
from msfit.synth.people import SPLITS
from msfit.synth.portraits import portrait, random_paint, scenes
from msfit.synth.spectra import functions
from msfit.synth.tones import drawn_subject

# Raised whenever a kept face of the same settings would look different.
_EDITION = 1
_CHUNK = 20
_LAYERS = ("spectra", "i_d", "gloss", "face")
# Shares of pictures under cameras that only expose and clip, of those whose cameras leave a finished photograph with
# sharpening, a little noise and JPEG, and of pictures with a hole.
_PLAIN, _FINISHED, _HOLED = 0.35, 0.6, 0.2
# Of a finished photograph's noise this much is left, and its JPEG is at least so good.
_QUIET, _FINE_JPEG = 0.25, 86
# Share of pictures whose noise and blocks were shrunk away before, as `pipeline` has it.
_CALMED = 0.6
# Share of faces that get the texture of a photograph, and its largest deviation on the face and around it [log].
_TEXTURED, _ON_FACE, _AROUND = 0.5, 0.04, 0.25


@dataclass(frozen=True)
class FaceSource:
    """Which faces: `count` portraits of persons of a split in equal shares of every tone, on `heads` heads."""

    split: str = "train"
    heads: int = 96
    count: int = 400
    size: int = 256
    seed: int = 0


@dataclass(frozen=True)
class RestorationBatch:
    """Cut-outs of photographs, made worse: tensors (n, channel, y, x), display values.

    Attributes
    ----------
    clean, degraded : tensor (n, 3, y, x)
        Holes of `degraded` hold their surroundings.
    hole, face : tensor (n, 1, y, x)
        1 inside.
    numbers : tensor (n, 4)
        As of `biofacenet.restoration.network.numbers_of`.
    told : tensor (n,)
        1 where the numbers can be seen, 0 where noise and blocks were shrunk away.
    """

    clean: Tensor
    degraded: Tensor
    hole: Tensor
    face: Tensor
    numbers: Tensor
    told: Tensor


class Faces:
    """Batches of a kept set of faces; drawn where it is not there yet, about 1.6 MB a face at 256 x 256."""

    def __init__(
        self,
        source: FaceSource,
        batch: int,
        crop: int,
        workers: int = 0,
        folder: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        textures: float = 0.0,
    ) -> None:
        settings = (source.split, source.size, source.heads, source.seed, source.count)
        self.path = (folder or cache_folder()) / "-".join(map(str, ("faces", _EDITION, *settings)))
        chunk = min(_CHUNK, source.count)
        self._layers = kept(
            self.path,
            functools.partial(_draw, source, chunk),
            source.count,
            chunk,
            workers,
            progress,
            vars(source),
            lambda: Bank(source.heads, source.size, source.split, workers=max(1, workers)),
        )
        self.ita = self._layers.pop("ita").astype(np.float32)
        self._source, self._batch, self._crop, self._textures = source, batch, crop, textures

    def __getitem__(self, step: int) -> RestorationBatch:
        """The batch of a step: it does not depend on the ones before."""
        generator = torch.Generator().manual_seed(self._source.seed * 1_000_003 + step)
        chosen = torch.randint(self._source.count, (self._batch,), generator=generator)
        layers = self._cut(chosen.tolist(), generator)
        clean, face = photographed(layers, generator, self._textures)
        return made_worse(clean, face, generator)

    def _cut(self, chosen: list[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Square cut-outs around a pixel of each face, between the whole picture and its own pixels, some mirrored."""
        cut: dict[str, list[Tensor]] = {name: [] for name in _LAYERS}
        size, crop = self._source.size, self._crop
        for index in chosen:
            wider = max(0.0, 1.6 * float(torch.rand((), generator=generator)) - 0.6)
            side = round(crop * (size / crop) ** wider)
            places = np.flatnonzero(self._layers["face"][index, 0])
            row, column = divmod(int(places[int(torch.randint(len(places), (), generator=generator))]), size)
            top, left = (int(np.clip(middle - side // 2, 0, size - side)) for middle in (row, column))
            turned = float(torch.rand((), generator=generator)) < 0.5
            for name in _LAYERS:
                part = self._layers[name][index, :, top : top + side, left : left + side].astype(np.float32)
                values = torch.from_numpy(part)[None]
                values = values if side == crop else F.interpolate(values, (crop, crop), mode="area")
                cut[name].append(values.flip(-1) if turned else values)
        layers = {name: torch.cat(values) for name, values in cut.items()}
        layers["face"] = (layers["face"] > 0.5).float()
        return layers


class FolderFaces:
    """Batches of clean photographs of faces in a folder, the first six of every seven by name, cut out and made worse.

    FFHQ's 70,000 are split into 60,000 and 10,000 in this way.
    """

    def __init__(self, folder: str | Path, batch: int, crop: int, seed: int = 0) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"data.photos: {folder}: no such folder; expected clean photographs of faces")
        paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in PHOTO_EXTENSIONS)
        self.paths = [path for number, path in enumerate(paths) if number < len(paths) * 6 / 7]
        if not self.paths:
            raise InputError(f"{folder}: holds no photograph (.jpg, .png, ...); expected clean pictures of faces")
        self._batch, self._crop, self._seed = batch, crop, seed

    def __getitem__(self, step: int) -> RestorationBatch:
        """The batch of a step; no pixel counts as face, as nobody told where it is."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        clean = torch.cat([self._cut(generator) for _ in range(self._batch)])
        return made_worse(clean, torch.zeros_like(clean[:, :1]), generator)

    def _cut(self, generator: torch.Generator) -> Tensor:
        path = self.paths[int(torch.randint(len(self.paths), (), generator=generator))]
        rgb = read_photo(path).rgb
        values = torch.from_numpy(linear_light(rgb)).permute(2, 0, 1)[None]
        shorter, crop = min(values.shape[-2:]), self._crop
        side = round(shorter * min(1.0, crop / shorter) ** float(torch.rand((), generator=generator)))
        top, left = (int(torch.randint(length - side + 1, (), generator=generator)) for length in values.shape[-2:])
        return F.interpolate(values[..., top : top + side, left : left + side], (crop, crop), mode="area")


class Alternating:
    """Batches of faces, every second one of photographs."""

    def __init__(self, faces: Faces, photos: FolderFaces) -> None:
        self._sources = faces, photos

    def __getitem__(self, step: int) -> RestorationBatch:
        """The batch of a step."""
        return self._sources[step % 2][step]


def made_worse(clean: Tensor, face: Tensor, generator: torch.Generator) -> RestorationBatch:
    """A batch of clean pictures, linear RGB: each made worse in its own way, some with a hole."""
    steps = [random_steps(generator) for _ in clean]
    worse = torch.cat([apply(one[None], how, generator) for one, how in zip(clean, steps, strict=True)])
    holes = [
        random_hole(clean.shape[-1], generator) * float(torch.rand((), generator=generator) < _HOLED) for _ in clean
    ]
    hole = torch.stack(holes)
    degraded = surrounded(encode_srgb(worse), hole)
    done = [summed(how) for how in steps]
    told = (torch.rand(len(clean), generator=generator) >= _CALMED).float()
    parts = [one[None] if see else calmed(one[None], d)[0] for one, d, see in zip(degraded, done, told, strict=True)]
    return RestorationBatch(encode_srgb(clean), torch.cat(parts), hole, face, numbers_of(done), told)


def photographed(layers: dict[str, Tensor], generator: torch.Generator, textures: float = 0.0) -> tuple[Tensor, Tensor]:
    """Clean photographs of layers, linear RGB in 0..1, and their faces: lamps, exposure, balance, curve, sharpening.

    `textures` is the share of them that give way to a cut-out of a real photograph; then others get texture, too.
    """
    seen = scenes(layers["spectra"], torch.from_numpy(functions()), layers["i_d"], layers["gloss"], generator)
    picture, face = (
        _textured(seen.picture, layers["face"], textures, generator) if textures else (seen.picture, layers["face"])
    )
    count = len(picture)
    cameras = random_cameras(count, generator)
    none = torch.zeros(count)
    finished = (torch.rand(count, generator=generator) < _FINISHED).float()
    cameras = cameras._replace(
        blur=none,
        sharpening=finished * cameras.sharpening,
        shot=finished * _QUIET**2 * cameras.shot,
        floor=finished * _QUIET * cameras.floor,
        quality=((cameras.quality > 0) * finished).long() * cameras.quality.clamp(min=_FINE_JPEG),
    )
    plain = torch.rand(count, generator=generator) < _PLAIN
    one = torch.ones(count)
    for name, value in (("contrast", one), ("lift", one), ("saturation", one), ("local", none)):
        cameras = cameras._replace(**{name: torch.where(plain, value, getattr(cameras, name))})
    # a cut-out at the edge of a face may hold none of it
    metered = torch.where(face.sum((1, 2, 3), keepdim=True) > 0, face, torch.ones(()))
    return develop(picture, metered, cameras, generator).picture, face


def _textured(picture: Tensor, face: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    pictures, faces = [], []
    for one, own in zip(picture[:, None], face[:, None], strict=True):
        pick = float(torch.rand((), generator=generator))
        if pick < share:
            one, own = natural(one.shape[-1], generator), torch.zeros_like(own)
        elif pick < share + (1 - share) * _TEXTURED:
            on_face, around = torch.rand(2, generator=generator).tolist()
            amount = own * _ON_FACE * on_face + (1 - own) * _AROUND * around
            one = one * (amount * detail(one.shape[-1], generator)).exp()
        pictures.append(one)
        faces.append(own)
    return torch.cat(pictures), torch.cat(faces)


def kept_whole(faces: Faces, index: int) -> tuple[Tensor, Tensor]:
    """A kept face under D65 through the mean camera, lit so that white is white: linear RGB (3, y, x); its region."""
    from msfit.colour.cameras import mean_camera
    from msfit.colour.colorimetry import rgb_weights
    from msfit.synth.spectra import WAVELENGTHS

    weights = torch.from_numpy((functions() @ rgb_weights(WAVELENGTHS, "D65", mean_camera())).astype(np.float32))
    white = torch.from_numpy(rgb_weights(WAVELENGTHS, "D65", mean_camera()).sum(0).astype(np.float32))
    layers = {name: torch.from_numpy(faces._layers[name][index].astype(np.float32)) for name in _LAYERS}
    colour = torch.einsum("kyx,kc->cyx", layers["spectra"], weights)
    linear = layers["i_d"] * colour + layers["gloss"] * white[:, None, None]
    face = layers["face"][0] > 0.5
    level = torch.quantile(linear[1][face], 0.95)
    return (linear * min(1.0, 0.8 / float(level))).clamp(0, 1), face


def _draw(source: FaceSource, chunk: int, number: int) -> dict[str, np.ndarray]:
    """The layers of `chunk` faces (n, channel, y, x), each drawn from its own index and the seed."""
    bank = Bank(source.heads, source.size, source.split)
    made, tones = [], []
    for index in range(number * chunk, (number + 1) * chunk):
        rng = np.random.default_rng(np.random.SeedSequence((SPLITS.index(source.split), source.seed, index, 3)))
        buffers, person = bank[int(rng.integers(bank.count))], drawn_subject(rng, source.split)
        paint = random_paint(rng, bank.size, person.subject.ita, beard=not buffers.long_hair)
        made.append(portrait(buffers, person.subject, paint, rng))
        tones.append(person.subject.ita)
    layers = {"spectra": np.stack([np.moveaxis(one.reflectance @ functions().T, -1, 0) for one in made])}
    layers["face"] = np.stack([one.region == FACE for one in made])[:, None]
    for name in ("i_d", "gloss"):
        layers[name] = np.stack([getattr(one, name) for one in made])[:, None]
    return {**layers, "ita": np.array(tones)}


def linear(display: Tensor) -> Tensor:
    """Linear RGB of display values, clipped."""
    return decode_srgb(display.clamp(0, 1))
