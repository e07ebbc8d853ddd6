"""Training samples: small RGB pictures of faces with the truth of every map, fast and endless."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msfit.errors import InputError
from msfit.skin.models import DEFAULT_MODEL
from msfit.synth.appearance import Drawn as SurfaceDrawn
from msfit.synth.appearance import random_surface, surface, texture_sheets
from msfit.synth.bank import Bank
from msfit.synth.buffers import FACE, Buffers
from msfit.synth.light import Light, random_light
from msfit.synth.people import SPLITS, Subject, wearable
from msfit.synth.scene import MODES, coat, shading
from msfit.synth.spectra import WAVELENGTHS, Palette, product, random_palette
from msfit.synth.texture import random_texture
from msfit.synth.truth import fitted_pigments

if TYPE_CHECKING:
    from torch import Tensor

_TEXELS_A_PIXEL = 1.5
# Wider than in scenes: photographs are exposed for the face, so that a white card beside it may come out at any level.
_LEVELS = (0.6, 2.4)
#: Pictures: "varied" has a light and a camera of its own for each, "reference" D65 and the mean camera for all.
PICTURES = ("varied", "reference")


def samples(
    indices: int | Iterable[int],
    *,
    seed: int = 0,
    bank: Bank | None = None,
    mode: str = "measured",
    model: str = DEFAULT_MODEL,
    split: str = "train",
    pictures: str = "varied",
    noise: bool = True,
) -> dict[str, Tensor]:
    """Samples of an endless stream, each drawn from its index and the seed alone.

    A sample puts texture, measured skin, light, camera and noise of its own on a head of the bank. It does not depend
    on which others are asked for, in what order, or by which worker.

    Parameters
    ----------
    indices : int or iterable of int
        Which samples; an int n is short for 0 .. n - 1.
    seed : int
        Of the stream.
    bank : Bank, optional
        Heads to draw from, of the same split; `Bank(split=split)` if absent, which is traced at its first use.
    mode, model, split
        As of `msfit.synth.make_scene`.
    pictures : {"varied", "reference"}
        Light and camera of their own for each picture, or D65 and the mean camera.
    noise : bool
        Photon and read noise in the picture.

    Returns
    -------
    dict of float32 tensors (n, channel, y, x), unless said otherwise
        image (3): linear RGB through the pipeline `neutral`, white = 1, not clipped. mask (1): 1 on the face.
        f_mel, f_blood (1), i_d, i_s (1), scale, offset (1), albedo (3), normals (3): as of `msfit.synth.Truth`, with 0
        in place of NaN. light (n, 15): parameters of `IlluminationModel`, camera (n, 2): of `CameraModel`; zeros in
        pictures "reference". Whose skin it is tells `subject_of`.

    Raises
    ------
    InputError
        An unknown mode, split or kind of pictures; a bank of another split.
    """
    import torch

    if mode not in MODES or split not in SPLITS or pictures not in PICTURES:
        raise InputError(
            f"mode, split, pictures: found {mode!r}, {split!r}, {pictures!r}; expected of {MODES}, {SPLITS}, {PICTURES}"
        )
    bank = _own_bank(split) if bank is None else bank
    if bank.split != split:
        raise InputError(f"bank: found heads of split {bank.split!r}; expected {split!r}")
    wanted = range(indices) if isinstance(indices, int) else indices
    drawn = (draw_sample(int(index), seed, bank, pictures, noise) for index in wanted)
    made = [_rendered(one, bank[one.head], mode, model) for one in drawn]
    if not made:
        raise InputError("indices: found none; expected one or more")
    stacked = {name: np.stack([one[name] for one in made]) for name in made[0]}
    reflectance = np.moveaxis(stacked.pop("reflectance"), 1, -1)
    if mode == "measured":
        # all samples at once: a pixel's fit does not depend on the others
        face = stacked["mask"][:, 0] > 0
        for name, values in fitted_pigments(reflectance[face], WAVELENGTHS, model, "float32").items():
            stacked[name] = np.zeros(face.shape, np.float32)
            stacked[name][face] = values
            stacked[name] = stacked[name][:, None]
    stacked.pop("rmse")
    return {name: torch.from_numpy(values) for name, values in stacked.items()}


def subject_of(index: int, *, seed: int = 0, split: str = "train") -> Subject:
    """Whose skin a sample of `samples` wears, without making it: for choosing among indices."""
    return _begun(index, seed, split)[1]


def _begun(index: int, seed: int, split: str) -> tuple[np.random.Generator, Subject]:
    rng = np.random.default_rng(np.random.SeedSequence((SPLITS.index(split), seed, index, 1)))
    people = wearable(split)
    return rng, people[int(rng.integers(len(people)))]


class Drawn(NamedTuple):
    """All that chance decides of a sample; `_rendered` makes it without."""

    subject: Subject
    head: int
    """Of the bank."""
    palette: Palette
    sheets: np.ndarray
    """float32 (8, texel, texel): see `texture_sheets`."""
    surface: SurfaceDrawn
    light: Light
    weights: np.ndarray
    """float32 (band, 3): from reflectance to linear RGB."""
    lamp: np.ndarray
    camera: np.ndarray
    background: np.ndarray
    """float (3,): colour of what is behind the head."""
    noise: tuple[float, float, np.ndarray] | None
    """Variance by signal, read noise, and standard normals (3, y, x)."""
    mirrored: bool


def draw_sample(index: int, seed: int, bank: Bank, pictures: str = "varied", noise: bool = True) -> Drawn:
    """What chance decides of the sample of an index."""
    rng, subject = _begun(index, seed, bank.split)
    head = int(rng.integers(bank.count))
    buffers = bank[head]
    palette = random_palette(rng, subject.ita)
    texture = random_texture(rng, round(_TEXELS_A_PIXEL * bank.size), subject.ita, beard=not buffers.long_hair)
    drawn = random_surface(rng)
    light = random_light(rng, 8 * buffers.visible.shape[1], _LEVELS)
    weights, lamp, camera = _picture(rng, pictures)
    background = rng.uniform(0.1, 0.9) * light.level * (palette.background @ weights)
    grain = _noise(rng, bank.size) if noise else None
    mirrored = bool(rng.random() < 0.5)
    sheets = texture_sheets(texture)
    return Drawn(subject, head, palette, sheets, drawn, light, weights, lamp, camera, background, grain, mirrored)


def _rendered(drawn: Drawn, buffers: Buffers, mode: str, model: str) -> dict[str, np.ndarray]:
    dressed = surface(buffers, drawn.sheets, drawn.palette, drawn.surface)
    i_d, i_s = shading(buffers, dressed, drawn.light)
    spectra, exact = coat(dressed, drawn.subject, drawn.palette.brow, mode, model)
    colour = product(spectra, drawn.weights)
    white = drawn.weights.sum(axis=0)
    image = _sheet(buffers, i_d[:, None] * colour + i_s[:, None] * white, drawn.background)
    if drawn.noise is not None:
        shot, floor, normals = drawn.noise
        image = image + np.sqrt(shot * np.clip(image, 0, None) + floor**2) * normals
    on_face = buffers.region == FACE
    maps = {"mask": on_face, "i_d": i_d, "i_s": i_s, "normals": dressed.normal, "reflectance": spectra}
    maps |= {
        "albedo": product(spectra, albedo_weights()),
        **{name: np.where(on_face, values, 0) for name, values in exact.items()},
    }
    sheets = {"image": image, **{name: _sheet(buffers, values) for name, values in maps.items()}}
    if drawn.mirrored:
        sheets = {name: values[..., ::-1] for name, values in sheets.items()}
        sheets["normals"] = sheets["normals"] * np.array([-1, 1, 1], np.float32)[:, None, None]
    pictures = {name: np.ascontiguousarray(values, np.float32) for name, values in sheets.items()}
    return {**pictures, "light": drawn.lamp, "camera": drawn.camera}


def _sheet(buffers: Buffers, values: np.ndarray, background: Any = 0) -> np.ndarray:
    """Values (n,) or (n, channel) of the visible points as a picture (channel, y, x)."""
    values = values.reshape(len(values), -1)
    sheet = np.empty((buffers.size**2, values.shape[1]), np.float32)
    sheet[:] = background
    sheet[buffers.pixel] = values
    return sheet.T.reshape(-1, buffers.size, buffers.size)


def _noise(rng: np.random.Generator, size: int) -> tuple[float, float, np.ndarray]:
    """Noise of a consumer camera: variance rises with the signal; from nearly none to a dim room's."""
    shot, floor = np.exp(rng.uniform(np.log(1e-5), np.log(4e-4))), np.exp(rng.uniform(np.log(5e-4), np.log(5e-3)))
    return shot, floor, rng.standard_normal((3, size, size), np.float32)


def _picture(rng: np.random.Generator, pictures: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (band, 3) from reflectance to linear RGB, and the parameters of light (15,) and camera (2,)."""
    import torch

    from msfit.colour.pipelines import pipeline, rgb_weights

    if pictures == "reference":
        return reference_weights(), np.zeros(15, np.float32), np.zeros(2, np.float32)
    lamps, cameras, observer = _models()
    light = rng.normal(size=15) * 2.0
    camera = np.clip(rng.normal(size=2), -3, 3)
    e, s = lamps(torch.from_numpy(light)), cameras(torch.from_numpy(camera))
    weights = rgb_weights(e, s, observer, pipeline("neutral")).numpy()
    return weights.astype(np.float32), light.astype(np.float32), camera.astype(np.float32)


@functools.cache
def _models() -> tuple[Any, Any, Any]:
    import torch

    from msfit.colour.cameras import CameraModel
    from msfit.colour.illuminants import IlluminationModel
    from msfit.colour.spectra import standard_observer

    observer = torch.from_numpy(standard_observer().on(WAVELENGTHS))
    return IlluminationModel(WAVELENGTHS), CameraModel(WAVELENGTHS), observer


@functools.cache
def reference_weights() -> np.ndarray:
    """From reflectance to linear RGB of the mean camera under D65: float32 (band, 3)."""
    from msfit.colour.cameras import mean_camera
    from msfit.colour.colorimetry import rgb_weights

    return rgb_weights(WAVELENGTHS, "D65", mean_camera()).astype(np.float32)


@functools.cache
def albedo_weights() -> np.ndarray:
    from msfit.colour.colorimetry import rgb_weights

    return rgb_weights(WAVELENGTHS).astype(np.float32)


@functools.cache
def _own_bank(split: str) -> Bank:
    return Bank(split=split)
