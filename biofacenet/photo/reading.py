"""Photographs: read as they are meant to be seen, brought to linear light, written back with their depth."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msfit.colour.transforms import decode_srgb, encode_srgb
from msfit.errors import InputError, said
from msfit.io.extras import need
from msfit.io.output import written_whole
from msfit.io.upright import ORIENTATION, is_turned, upright

#: What a photograph can be written as.
PHOTO_EXTENSIONS = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
#: Pictures with a side below this show no face [pixels].
SMALLEST_SIDE = 16
# Values less than this below black are there by rounding [1].
_ROUNDING = 1e-6
# Channels that differ by no more than this on all but this share of the pixels hold no colour [1].
_GREY, _COLOURED = 3 / 255, 0.001
_COLOUR = ("RGB", "RGBA", "RGBX", "RGBa")
# A profile that moves no colour of 8 bits by more than this is sRGB.
_ROUNDED = 1
# Differences from sRGB that PNG's encoders make by rounding.
_GAMMA, _CHROMATICITY = 0.01, 0.005
# White point and primaries, x and y (IEC 61966-2-1); matrix of cone responses (Lam 1985, "Bradford").
_SRGB = np.array([0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06])
_D65 = np.array([0.3127, 0.3290, 1 - 0.3127 - 0.3290]) / 0.3290
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_EXPECTED = "expected a colour photograph (JPEG, PNG, TIFF, ...)"


@dataclass(frozen=True, eq=False)
class Photo:
    """A photograph, upright.

    Attributes
    ----------
    rgb : uint8 or uint16 array (y, x, 3)
        sRGB.
    alpha : array (y, x), optional
        Of the type of `rgb`. Pixels that are less than half opaque are not looked at; colours are taken as stored.
    notes : tuple of str
        What was done on the way: turned, converted, reduced.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def opaque(self) -> np.ndarray:
        """Bool array (y, x): the pixel is at least half opaque."""
        if self.alpha is None:
            return np.ones(self.rgb.shape[:2], bool)
        return opaque(self.alpha)


def opaque(alpha: np.ndarray) -> np.ndarray:
    """Bool array: alpha, in full 1 in floating point and else the largest number of its type, is at least half."""
    return np.asarray(alpha > (1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max) / 2)


def read_photo(path: str | Path) -> Photo:
    """Read a photograph of 8 or 16 bits: EXIF orientation applied, an embedded colour profile converted to sRGB.

    Parameters
    ----------
    path : str or Path
        What Pillow reads; 16 bit PNG keep their depth, so do 16 bit TIFF where tifffile is installed. Of several
        pictures in a file the first.

    Returns
    -------
    Photo

    Raises
    ------
    InputError
        No such file, an empty one, none that holds a picture, a damaged one; no colour; a side below 16 pixels.
    """
    path = Path(path)
    image = need("PIL.Image", "photo")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); {_EXPECTED}") from None
    if not content:
        raise InputError(f"{path}: the file is empty; {_EXPECTED}")
    try:
        with warnings.catch_warnings():
            # a picture that is suspiciously large is refused, not only frowned at
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(BytesIO(content)) as opened:
                photo = _decoded(opened, content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except image.UnidentifiedImageError:
        raise InputError(f"{path}: not a picture, or of an unknown kind; {_EXPECTED}") from None
    except (image.DecompressionBombError, image.DecompressionBombWarning):
        raise InputError(f"{path}: too many pixels; scale it down below {image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # decoders meet damaged files with whatever that causes
        raise InputError(f"{path}: cannot be read as a picture ({said(error)}); get the file anew") from None
    return photo


def as_photo(photo: str | Path | Photo | np.ndarray) -> Photo:
    """A photograph from its file, or from sRGB values."""
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, str | Path):
        return read_photo(photo)
    values = np.asarray(photo)
    if values.dtype not in (np.uint8, np.uint16):
        raise InputError(f"photo: found {values.dtype}; expected uint8 or uint16, sRGB")
    linear_light(values)  # refuses what is no picture
    return Photo(values[..., :3], values[..., 3] if values.shape[2] == 4 else None)


def linear_light(rgb: Any, encoding: str | None = None) -> np.ndarray:
    """Linear sRGB of a picture.

    Parameters
    ----------
    rgb : array (y, x, 3) or (y, x, 4)
        uint8 or uint16, which are sRGB unless `encoding` says otherwise, or floating point with white = 1, which has
        to say. A fourth channel, alpha, is left aside, see `opaque`.
    encoding : {"srgb", "linear"}, optional

    Returns
    -------
    float32 array (y, x, 3)
        White = 1. Linear values are not clipped; NaN stays.

    Raises
    ------
    InputError
        Another shape or type, floating point without an encoding, below 0 or above 1 by far, no colour, a side
        below 16 pixels.
    """
    picture = np.asarray(rgb)
    if picture.ndim != 3 or picture.shape[2] not in (3, 4):
        grey = " (greyscale)" if picture.ndim == 2 or picture.shape[-1:] == (1,) else ""
        raise InputError(f"rgb: found shape {picture.shape}{grey}; expected a colour picture (height, width, 3)")
    if encoding not in (None, "srgb", "linear"):
        raise InputError(f"encoding: found {encoding!r}; expected 'srgb' or 'linear'")
    if picture.dtype in (np.uint8, np.uint16):
        codes = np.iinfo(picture.dtype).max
        _check_picture(picture[..., :3], codes)
        steps = torch.arange(codes + 1, dtype=torch.float32) / codes
        return (steps if encoding == "linear" else decode_srgb(steps)).numpy()[picture[..., :3]]
    if picture.dtype.kind == "f":
        if encoding is None:
            raise InputError(f"encoding: not given for {picture.dtype} values; say 'srgb' or 'linear'")
        values = picture[..., :3].astype(np.float32)
        lowest, highest = float(np.nanmin(values, initial=0)), float(np.nanmax(values, initial=0))
        if highest > (1.001 if encoding == "srgb" else 100):
            raise InputError(f"rgb: found {picture.dtype} values up to {highest:.4g}; expected white = 1")
        if lowest < -_ROUNDING:
            raise InputError(f"rgb: found {picture.dtype} values down to {lowest:.4g}; expected black = 0: clip them")
    else:
        raise InputError(f"rgb: found {picture.dtype}; expected uint8, uint16 or floating point")
    _check_picture(np.nan_to_num(values))
    return values if encoding == "linear" else decode_srgb(torch.from_numpy(values)).numpy()


def write_photo(path: str | Path, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Write an sRGB picture (y, x, 3), uint8 or uint16; the file appears whole or not at all.

    JPEG takes 8 bits and no alpha (y, x); PNG and TIFF keep both. 16 bit TIFF needs tifffile.
    """
    path = Path(path)
    image, is_jpeg = need("PIL.Image", "photo"), path.suffix.lower() in (".jpg", ".jpeg")
    if rgb.dtype == np.uint16 and is_jpeg:
        rgb = np.rint(rgb / 257).astype(np.uint8)
    values = rgb if alpha is None or is_jpeg else np.concatenate([rgb, alpha[..., None]], axis=2)
    with written_whole(path) as part:
        if values.dtype == np.uint8:
            image.fromarray(values).save(part, **({"quality": 95} if is_jpeg else {}))
        elif path.suffix.lower() == ".png":
            part.write_bytes(_png16(values))
        else:
            extra = {} if alpha is None else {"extrasamples": ("unassalpha",)}
            need("tifffile").imwrite(part, values, photometric="rgb", **extra)


def _decoded(opened: Any, content: bytes) -> Photo:
    notes = []
    if min(opened.size) < SMALLEST_SIDE:
        raise _too_small(*opened.size)
    if opened.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "La"):
        raise InputError("greyscale; expected a picture in colour")
    # first, because whatever else loads the picture forgets how it is stored
    values = _sixteen_bits(opened, content)
    stored, profile = opened.getexif().get(ORIENTATION, 1), opened.info.get("icc_profile")
    converted = _in_srgb(opened, profile) if profile else None
    if converted is not None:
        notes.append("its colour profile was converted to sRGB" + (", at 8 bits" if values is not None else ""))
        values = None
    if values is None:
        chosen = opened if converted is None else converted
        see_through = chosen.has_transparency_data
        opened.load()
        # Pillow turns some formats (TIFF) upright itself as it loads them, and then forgets the tag
        orientation = opened.getexif().get(ORIENTATION, 1)
        values = np.asarray(chosen.convert("RGBA" if see_through else "RGB"))
    else:
        orientation = stored
    if not profile and opened.format == "PNG" and "srgb" not in opened.info:
        values, note = _as_png_states(values, opened.info)
        notes += [note] if note else []
    values = upright(values, orientation)
    if is_turned(stored):
        notes.append("turned upright")
    _check_picture(values[..., :3].astype(np.float32) / np.iinfo(values.dtype).max)
    return Photo(values[..., :3], values[..., 3] if values.shape[2] == 4 else None, tuple(notes))


def _sixteen_bits(opened: Any, content: bytes) -> np.ndarray | None:
    """Values (y, x, 3 or 4) of a picture of 16 bits a sample, which Pillow alone would cut to 8; else None."""
    if opened.format == "PNG" and str(opened.tile[0].args) in ("RGB;16B", "RGBA;16B"):
        with need("PIL.Image", "photo").open(BytesIO(content)) as again:
            # read as if the lower byte came first, the other byte is kept
            again.tile = [tile._replace(args=tile.args.replace("16B", "16L")) for tile in again.tile]
            low = np.asarray(again).astype(np.uint16)
        return 256 * np.asarray(opened).astype(np.uint16) + low
    if opened.format == "TIFF" and set(opened.tag_v2.get(258, ())) == {16} and opened.mode in _COLOUR:
        with need("tifffile").TiffFile(BytesIO(content)) as file:
            page = file.pages[0]
            values = np.asarray(page.asarray())
            values = values if page.planarconfig == 1 else np.moveaxis(values, 0, -1)
            return _with_plain_alpha(values, page.extrasamples)
    return None


def _in_srgb(opened: Any, profile: bytes) -> Any:
    """The picture converted from its colour profile; None where that is sRGB or cannot be used."""
    cms = need("PIL.ImageCms", "photo")
    try:
        source = cms.getOpenProfile(BytesIO(profile))
        if _is_srgb(cms, source):
            return None
        mode = "RGBA" if opened.has_transparency_data else "RGB"
        image = opened if opened.mode == "CMYK" else opened.convert(mode)
        return cms.profileToProfile(image, source, cms.createProfile("sRGB"), outputMode=mode)
    except (cms.PyCMSError, OSError, ValueError):
        return None


def _is_srgb(cms: Any, profile: Any) -> bool:
    """Whether colours stay what they are from a profile to sRGB: by its curves and primaries, not its name."""
    image = need("PIL.Image", "photo")
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(levels.size, -1, 3)
    there = cms.profileToProfile(image.fromarray(colours), profile, cms.createProfile("sRGB"), outputMode="RGB")
    return bool(np.abs(np.asarray(there).astype(int) - colours).max() <= _ROUNDED)


def _with_plain_alpha(values: np.ndarray, extra: tuple[int, ...]) -> np.ndarray:
    """Of the channels after colour, alpha as PNG has it (TIFF 6.0, ExtraSamples): 1 is multiplied into the colour, 2 is
    not, 0 is no alpha."""
    if not extra or extra[0] not in (1, 2):
        return values[..., :3]
    if extra[0] == 2:
        return values[..., :4]
    most = np.iinfo(values.dtype).max
    alpha = values[..., 3:4].astype(np.float64)
    colour = np.where(alpha > 0, values[..., :3] * (most / np.maximum(alpha, 1)), 0)
    return np.concatenate([np.rint(colour.clip(0, most)).astype(values.dtype), values[..., 3:4]], axis=2)


def _as_png_states(values: np.ndarray, info: dict[str, Any]) -> tuple[np.ndarray, str]:
    """Values of a PNG with a gamma (gAMA) or primaries (cHRM) of its own, in sRGB (ISO/IEC 15948, 11.3.3 and 12.1)."""
    gamma, named = info.get("gamma"), info.get("chromaticity")
    curved = gamma is not None and gamma > 0 and abs(gamma - 1 / 2.2) > _GAMMA
    primaries = named is not None and len(named) == 8 and np.abs(np.array(named) - _SRGB).max() > _CHROMATICITY
    if not (curved or primaries):
        return values, ""
    most = np.iinfo(values.dtype).max
    picture = values[..., :3].astype(np.float64) / most
    linear = picture ** (1 / gamma) if gamma is not None and curved else decode_srgb(torch.from_numpy(picture)).numpy()
    if primaries:
        try:
            linear = linear @ (np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(named)).T
        except np.linalg.LinAlgError:
            return values, "its primaries (cHRM) are none, and not used"
    found = encode_srgb(torch.from_numpy(linear.clip(0, 1))).numpy()
    found = np.rint(found * most).astype(values.dtype)
    what = " and ".join(name for name, there in (("gamma", curved), ("primaries", primaries)) if there)
    return np.concatenate([found, values[..., 3:]], axis=2), f"its {what} converted to sRGB"


def _to_xyz(chromaticity: Any) -> np.ndarray:
    """Matrix from linear RGB to XYZ, of white point and primaries (x, y) each; white is the same in all."""
    white, *primaries = (np.array([x, y, 1 - x - y]) / y for x, y in np.reshape(chromaticity, (4, 2)))
    columns = np.stack(primaries, axis=1)
    cone = _BRADFORD @ white
    adapted = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _D65) / cone) @ _BRADFORD
    return np.asarray(adapted @ columns @ np.diag(np.linalg.solve(columns, white)))


def _check_picture(values: np.ndarray, white: float = 1.0) -> None:
    height, width = values.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise _too_small(width, height)
    red, green, blue = np.moveaxis(values, 2, 0)  # a reduction over an axis of three is slow
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if (spread > _GREY * white).mean() <= _COLOURED:
        raise InputError("greyscale: its channels are equal; expected a picture in colour")


def _too_small(width: int, height: int) -> InputError:
    return InputError(f"{width} x {height} pixels; expected at least {SMALLEST_SIDE} a side")


def _png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a sample, which Pillow does not write: every row unfiltered (ISO/IEC 15948)."""
    height, width, channels = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
