"""The second exam: 24 test persons in six photographs each, by cameras as people have them, with true maps; frozen.

A person keeps head, skin, spots and hair; light, pose, background, exposure and camera differ from picture to picture.
So it is known what should repeat.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msfit.errors import InputError
from msfit.io.output import check_absent, written_whole
from msfit.synth.buffers import FACE, Buffers, random_pose, trace
from msfit.synth.files import COMMENT, made_folder
from msfit.synth.people import ITA_CLASSES, SPLITS, Subject, wearable
from msfit.synth.portraits import Portrait, portrait, random_paint, scenes
from msfit.synth.spectra import WAVELENGTHS

#: Pictures of each person, and their height and width [pixels].
EACH, SIZE = 6, 128
_DIRECTIONS = 128
_FRAMES, _TURN = (9.5, 11.5), 0.3
_CHOICE_SEED, _SEED = 2026, 26_000
_SUFFIX = "_truth.nc"


class Sitter(NamedTuple):
    """A person of the exam: everything else follows from it."""

    name: str
    person: str
    ita_class: str
    seed: int


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph with its truth.

    Attributes
    ----------
    picture : uint8 array (y, x, 3)
        sRGB, as a reader of the file sees it.
    mask : bool array (y, x)
        The face: skin, brows, lips and beard inside the canonical mesh; not eyes, nor what hair hides.
    reflectance : float32 array (n, band)
        Diffuse reflectance of the pixels of the mask, row by row [1], on `msfit.synth.spectra.WAVELENGTHS`.
    i_d, gloss : float32 array (y, x)
        Shading in the picture, exposure included: white under ``i_d = 1`` is 1 in linear RGB, before the tone curve.
    spots : float32 array (y, x)
        Absorbance at 550 nm of planted age spots and freckles [1].
    attrs : mapping
        name, sitter, person, ita, ita_class, seed, number, exposure, cast_red, cast_blue, metering and the camera's
        other numbers.
    """

    picture: np.ndarray
    mask: np.ndarray
    reflectance: np.ndarray
    i_d: np.ndarray
    gloss: np.ndarray
    spots: np.ndarray
    attrs: Mapping[str, Any]


@functools.cache
def sitters() -> tuple[Sitter, ...]:
    """The 24: four test persons of each class of skin tone, drawn once by a seed."""
    rng = np.random.default_rng(_CHOICE_SEED)
    chosen = []
    for tone in ITA_CLASSES:
        people = [one for one in wearable("test") if one.ita_class == tone]
        chosen += [people[int(number)] for number in np.sort(rng.choice(len(people), 4, replace=False))]
    return tuple(
        Sitter(f"sitter-{number:02d}", one.person, one.ita_class, _SEED + number)
        for number, one in enumerate(chosen, 1)
    )


def make_photograph(sitter: Sitter, number: int, size: int = SIZE) -> Photograph:
    """One of the pictures of a sitter, `number` 0 to 5; the same for the same arguments.

    Raises
    ------
    InputError
        A number or a size out of range.
    """
    import torch

    from msfit.colour.transforms import encode_srgb
    from msfit.synth.cameras import METERING, develop, random_cameras

    if not 0 <= number < EACH or not 64 <= size <= 1024:
        raise InputError(f"number, size: found {number}, {size}; expected 0 to {EACH - 1}, and 64 to 1024 pixels")
    subject, lamp = _person(sitter), np.random.default_rng((_SEED, sitter.seed, number))
    buffers = _head(sitter, number, size)
    # the same person in all pictures: hair, skin and spots from one stream, light and background from the picture's
    paint = random_paint(
        np.random.default_rng((_SEED, sitter.seed)), size, subject.ita, beard=not buffers.long_hair, age_spots=6
    )
    made: Portrait = portrait(buffers, subject, paint, lamp)
    generator = torch.Generator().manual_seed(1_000 * sitter.seed + number)
    tensors = [torch.from_numpy(np.ascontiguousarray(layer))[None] for layer in (made.i_d, made.gloss)]
    i_d, gloss = (layer[None] for layer in tensors)
    spectra = torch.from_numpy(np.ascontiguousarray(np.moveaxis(made.reflectance, -1, 0)))[None]
    seen = scenes(spectra, torch.eye(len(WAVELENGTHS)), i_d, gloss, generator)
    mask = made.region == FACE
    cameras = random_cameras(1, generator)
    developed = develop(seen.picture, torch.from_numpy(mask.astype(np.float32))[None, None], cameras, generator)
    display = encode_srgb(developed.picture).mul(255).round().to(torch.uint8)
    camera = {name: values[0].tolist() for name, values in cameras._asdict().items()}
    attrs = {
        "name": f"{sitter.name}-{number + 1}",
        "sitter": sitter.name,
        "person": sitter.person,
        "ita": subject.ita,
        "ita_class": sitter.ita_class,
        "seed": sitter.seed,
        "number": number,
        "size": size,
        **camera,
        "metering": METERING[camera["metering"]],
        "exposure": float(developed.exposure),
        "cast_red": float(developed.cast[0, 0]),
        "cast_blue": float(developed.cast[0, 1]),
        "gloss": "none: crossed polarisers" if not bool((seen.gloss > 0).any()) else "as lit",
    }
    return Photograph(
        display[0].permute(1, 2, 0).numpy(),
        mask,
        made.reflectance[mask],
        (developed.exposure * i_d)[0, 0].numpy(),
        (developed.exposure * seen.gloss)[0, 0].numpy(),
        made.spots,
        attrs,
    )


def write_photographs(
    folder: str | Path, progress: Callable[[int, int], None] | None = None, *, overwrite: bool = True
) -> list[Path]:
    """Build the 144 photographs: NAME.png as a camera delivers it, NAME_truth.nc beside it.

    One that is already there, whole, is left alone. What is built can be compared with `data_iset/manifest.json` by
    `photograph_digest`.

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
        The .png files, in order.

    Raises
    ------
    InputError
        A folder that cannot be written to.
    """
    folder = made_folder(folder)
    wanted = [(sitter, number) for sitter in sitters() for number in range(EACH)]
    paths = [folder / f"{sitter.name}-{number + 1}.png" for sitter, number in wanted]
    absent = [path for path in paths if not (path.is_file() and _truth_path(path).is_file())]
    if not overwrite:
        check_absent([one for path in absent for one in (path, _truth_path(path))], overwrite=False)
    for done, ((sitter, number), path) in enumerate(zip(wanted, paths, strict=True), 1):
        if path in absent:
            _write(make_photograph(sitter, number), path)
        if progress is not None:
            progress(done, len(paths))
    return paths


def read_photograph(path: str | Path) -> Photograph:
    """Read one of the exam's photographs with its truth, from its .png.

    Raises
    ------
    InputError
        There is no such file, or it is something else.
    """
    import xarray
    from PIL import Image

    path = Path(path)
    try:
        picture = np.asarray(Image.open(path).convert("RGB"))
        with xarray.open_dataset(_truth_path(path), engine="h5netcdf") as data:
            maps = {name: data[name].to_numpy() for name in ("reflectance", "i_d", "gloss", "spots")}
            return Photograph(picture, mask=data["mask"].to_numpy().astype(bool), attrs=dict(data.attrs), **maps)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename or path}: there is no such file; build the exam with `msfit synth --photographs`"
        ) from None
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a photograph of the exam ({type(error).__name__}: {error})") from None


def photograph_digest(path: str | Path) -> str:
    """SHA-256 of the numbers of a photograph and of its truth: of values, not files."""
    one = read_photograph(path)
    total = hashlib.sha256()
    for values in (one.picture, one.mask, one.reflectance, one.i_d, one.gloss, one.spots):
        total.update(f"{values.dtype.str}{values.shape}".encode())
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def _person(sitter: Sitter) -> Subject:
    return next(one for one in wearable("test") if one.person == sitter.person)


def _head(sitter: Sitter, number: int, size: int) -> Buffers:
    """The sitter's head in the pose of one picture."""
    identity = np.random.default_rng(np.random.SeedSequence((SPLITS.index("test"), sitter.seed, 3)))
    pose = random_pose(np.random.default_rng((_SEED, sitter.seed, number, 1)), _FRAMES, turn=_TURN)
    return trace(identity, size, pose, count=_DIRECTIONS)


def _truth_path(path: Path) -> Path:
    return path.with_name(path.stem + _SUFFIX)


def _write(one: Photograph, path: Path) -> None:
    import xarray
    from PIL import Image

    plane = ("y", "x")
    data = xarray.Dataset(
        {
            "mask": (plane, one.mask.astype(np.uint8)),
            "i_d": (plane, one.i_d, {"units": "1"}),
            "gloss": (plane, one.gloss, {"units": "1"}),
            "spots": (plane, one.spots, {"units": "1", "long_name": "absorbance at 550 nm of planted spots"}),
            "reflectance": (("pixel", "wavelength"), one.reflectance, {"units": "1"}),
        },
        coords={"wavelength": ("wavelength", WAVELENGTHS, {"units": "nm"})},
        attrs={"comment": COMMENT, **one.attrs},
    )
    packed = {name: {"zlib": True, "complevel": 4} for name in data.data_vars}
    with written_whole(_truth_path(path)) as part:
        data.to_netcdf(part, engine="h5netcdf", encoding=packed)
    with written_whole(path) as part:
        Image.fromarray(one.picture).save(part, "PNG")
