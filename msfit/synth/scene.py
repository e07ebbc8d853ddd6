"""A whole scene: a head, its skin, the light on it, what a camera records of it, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import msfit
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.data.cube import Cube
from msfit.errors import InputError
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.synth.appearance import Surface, random_surface, surface, texture_sheets
from msfit.synth.buffers import FACE, Buffers, trace
from msfit.synth.camera import random_illuminant, record
from msfit.synth.light import Light, random_light, shade, soften
from msfit.synth.model_skin import model_skin
from msfit.synth.people import SPLITS, Subject, subjects, wearable
from msfit.synth.spectra import WAVELENGTHS, measured_skin, random_palette
from msfit.synth.texture import random_texture
from msfit.synth.truth import Truth, fitted_pigments

MODES = ("measured", "model")
# How far light travels under the skin before it comes out, as a Gaussian [cm]. The sum of Gaussians of E. d'Eon and
# D. Luebke (Advanced Techniques for Realistic Real-Time Skin Rendering, GPU Gems 3, 2007, ch. 14) spreads red by about
# a millimetre and a half, green and blue by a third of one; i_d has no bands, so one number stands for all.
SCATTER_CM = 0.06
# Texels of the texture sheet for each pixel along the picture's side.
_TEXELS_A_PIXEL = 1.5
_LARGEST_TURN = (90.0, 45.0)  # yaw, pitch [degrees]
_LARGEST_SIZE = 4096  # pixels along a side: larger scenes need more memory than most machines have


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture with its truth.

    Attributes
    ----------
    radiance, illuminant : float32 array (y, x, band)
        What the camera recorded, noise included, and what it would record of a white card
        [photons / (s sr m^2 nm)].
    truth : Truth
    """

    radiance: np.ndarray
    illuminant: np.ndarray
    truth: Truth

    @property
    def cube(self) -> Cube:
        """The scene as a camera delivers it, with the face as mask."""
        provenance = {"source": f"synthetic face {self.truth.attrs['name']}"}
        return Cube(self.radiance, self.truth.wavelengths, self.illuminant, self.truth.mask, provenance=provenance)


def make_scene(
    seed: int,
    *,
    size: int = 256,
    mode: str = "measured",
    model: str = DEFAULT_MODEL,
    split: str = "train",
    person: str | None = None,
    noise: bool = True,
    name: str | None = None,
    turn: tuple[float, float] | None = None,
) -> Scene:
    """A face under some light, with its truth, the same for the same arguments.

    Parameters
    ----------
    seed : int
        Not negative. Splits draw from streams of their own: no head, texture or light is shared between them.
    size : int
        Height and width of the picture [pixels], 16 or more.
    mode : {"measured", "model"}
        Skin from a subject's measured spectra, or exactly from the skin model.
    model : str
        Skin model of the mode "model", and of the fitted pigments of the mode "measured".
    split : {"train", "validation", "test"}
        Whose skin it may be.
    person : str, optional
        Whose skin it is; drawn from the split if absent.
    noise : bool
        Record with the camera's noise.
    name : str, optional
        Of the scene, in its truth's attributes.
    turn : (yaw, pitch), optional
        How the head is turned to the right of the picture and upwards [degrees], up to 90 and 45; else it is drawn,
        within 40 and 14 degrees. The same seed is the same head in the same light.

    Raises
    ------
    InputError
        An unknown mode, split, person or model; a size, seed or turn out of range.
    """
    check_settings(seed, size, mode, split)
    if turn is not None and not (abs(turn[0]) <= _LARGEST_TURN[0] and abs(turn[1]) <= _LARGEST_TURN[1]):
        raise InputError(f"turn: found {turn}; expected (yaw, pitch) within {_LARGEST_TURN} degrees")
    streams = np.random.SeedSequence((SPLITS.index(split), seed)).spawn(6)
    who, head, paint, lamp, surroundings, camera = (np.random.default_rng(stream) for stream in streams)
    subject = _subject(who, split, person)
    buffers = trace(head, size, turned=None if turn is None else (np.radians(turn[0]), -np.radians(turn[1])))
    palette = random_palette(paint, subject.ita)
    texture = random_texture(paint, round(_TEXELS_A_PIXEL * size), subject.ita, beard=not buffers.long_hair)
    dressed = surface(buffers, texture_sheets(texture), palette, random_surface(paint))
    light = random_light(lamp)
    i_d, i_s = shading(buffers, dressed, light)
    spectra, exact = coat(dressed, subject, palette.brow, mode, model)
    mask = _sheet(buffers, buffers.region == FACE, False)
    reflectance = _sheet(buffers, spectra, palette.background)
    diffuse = _sheet(buffers, i_d, float(surroundings.uniform(0.15, 0.8)) * light.level)
    specular = _sheet(buffers, i_s, 0)
    pigments = {pigment: np.where(mask, _sheet(buffers, values, np.nan), np.nan) for pigment, values in exact.items()}
    if mode == "measured":
        for pigment, values in fitted_pigments(reflectance[mask], WAVELENGTHS, model).items():
            pigments[pigment] = np.full(mask.shape, np.nan)
            pigments[pigment][mask] = values
    illuminant = random_illuminant(surroundings, size)
    radiance = illuminant * (diffuse[..., None] * reflectance + specular[..., None])
    attrs = {
        "name": name or f"{split}-{seed}",
        "mode": mode,
        "model": get_model(model).name,
        "bounds": "wide",
        "seed": seed,
        "size": size,
        "split": split,
        "person": subject.person,
        "ita": subject.ita,
        "ita_class": subject.ita_class,
        "version": msfit.__version__,
    }
    truth = Truth(
        wavelengths=WAVELENGTHS,
        reflectance=reflectance,
        i_d=diffuse,
        i_s=specular,
        albedo=fold_bands(reflectance, rgb_weights(WAVELENGTHS).astype(np.float32)),
        mask=mask,
        normals=_sheet(buffers, dressed.normal, np.nan),
        depth=_sheet(buffers, -buffers.position[:, 2], np.nan),
        attrs=attrs,
        **pigments,
    )
    return Scene(record(radiance, camera) if noise else radiance, illuminant, truth)


def shading(buffers: Buffers, dressed: Surface, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """i_d and i_s of the visible points, float32 (n,): softened under the skin, dimmed inside nostrils and folds."""
    diffuse, specular = shade(buffers, dressed.normal, light, dressed.finish)
    diffuse = soften(diffuse, buffers, dressed.skin, SCATTER_CM)
    return diffuse * dressed.openness, specular * dressed.openness


def coat(
    dressed: Surface, subject: Subject, brow: np.ndarray, mode: str, model: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Reflectance (n, band) of all visible points and, in the mode "model", the pigments of the skin among them.

    Pigments are float64 (n,), NaN where there is no skin; the mode "measured" knows none.
    """
    spectra, skin = dressed.other.copy(), dressed.skin
    coats = dressed.sites, dressed.melanin, dressed.blood, dressed.hair
    if mode == "measured":
        spectra[skin] = measured_skin(subject, *coats, brow)
        return spectra, {}
    spectra[skin], f_mel, f_blood = model_skin(subject, *coats, model)
    exact = {
        "f_mel": f_mel,
        "f_blood": f_blood,
        "scale": np.ones(len(skin)),
        "offset": np.zeros(len(skin)),
        "rmse": np.zeros(len(skin)),
    }
    pigments = {name: np.full(len(spectra), np.nan) for name in exact}
    for name, values in exact.items():
        pigments[name][skin] = values
    return spectra, pigments


def check_settings(seed: int, size: int, mode: str, split: str) -> None:
    """Raise InputError where the settings of a scene are out of range."""
    if mode not in MODES:
        raise InputError(f"mode: found {mode!r}; expected measured or model")
    if split not in SPLITS:
        raise InputError(f"split: found {split!r}; expected one of {', '.join(SPLITS)}")
    if size < 16:
        raise InputError(f"size: found {size}; expected 16 pixels or more")
    if size > _LARGEST_SIZE:
        raise InputError(f"size: found {size}; expected {_LARGEST_SIZE} pixels or fewer")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: found {seed}; expected 0 or more, less than 2^63")


def _subject(rng: np.random.Generator, split: str, person: str | None) -> Subject:
    candidates = wearable(split)
    if person is None:
        return candidates[int(rng.integers(len(candidates)))]
    matches = [one for one in subjects(split) if one.person == person]
    if not matches:
        raise InputError(f"person: found {person!r}; expected a person of the split {split} with three sites or more")
    return matches[0]


def _sheet(buffers: Buffers, values: np.ndarray, background: Any) -> np.ndarray:
    sheet = np.empty((buffers.size**2, *values.shape[1:]), values.dtype)
    sheet[:] = background
    sheet[buffers.pixel] = values
    return sheet.reshape(buffers.size, buffers.size, *values.shape[1:])
