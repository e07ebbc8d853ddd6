"""Photographs that are to be restored: as `biofacenet.photo.reading` reads them, and greyscale ones too."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from biofacenet.photo.reading import SMALLEST_SIDE, Photo, as_photo, read_photo
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.output import written_whole
from msfit.io.upright import ORIENTATION, upright

_GREY_MODES = ("L", "LA", "I", "I;16", "I;16B", "I;16L", "La", "1")
# Formats that hold moving pictures; others hold thumbnails and depth beside the photograph.
_MOVING = ("GIF", "WEBP", "PNG", "AVIF")
# Mean of the 64 steps of ISO/IEC 10918-1, table K.1, which stands for quality 50.
_LUMINANCE_MEAN = 3688 / 64
# Channels that differ by no more than this on all but one pixel in a thousand hold no colour [1].
_GREY = 3 / 255


def read_any(photo: str | Path | Photo | np.ndarray) -> tuple[Photo, bool]:
    """A photograph, and whether it is greyscale: then its three channels are equal.

    Raises
    ------
    InputError
        As of `biofacenet.read_photo`; an animation.
    """
    if isinstance(photo, Photo):
        return photo, _is_grey(photo.rgb)
    if isinstance(photo, str | Path):
        return _read(Path(photo))
    values = np.asarray(photo)
    if not values.size:
        raise InputError(f"photo: found an empty array of shape {values.shape}; expected (y, x, 3)")
    if values.ndim == 2 and values.dtype in (np.uint8, np.uint16):
        return _grey(values, None), True
    if values.ndim == 3 and values.shape[2] in (3, 4) and values.dtype in (np.uint8, np.uint16) and _is_grey(values):
        return _grey(values[..., 0], values[..., 3] if values.shape[2] == 4 else None), True
    return as_photo(values), False


def jpeg_quality(path: str | Path) -> float | None:
    """Quality of a JPEG file, 1 to 100, as its table of luminance tells; None for other files.

    The table is compared with that of ISO/IEC 10918-1, annex K.1, times libjpeg's factor for a quality:
    ``5000 / quality`` per cent below 50, ``200 - 2 quality`` from 50 on (jcparam.c, Independent JPEG Group).
    """
    try:
        with need("PIL.Image", "photo").open(path) as opened:
            table = getattr(opened, "quantization", {}).get(0) if opened.format in ("JPEG", "MPO") else None
    except Exception:  # the reader of pictures says what is wrong with a file
        return None
    if table is None:
        return None
    percent = 100 * float(np.mean(np.asarray(table, float))) / _LUMINANCE_MEAN
    return float(np.clip((200 - percent) / 2 if percent <= 100 else 5000 / percent, 1, 100))


def read_mask(hole: str | Path | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What is to be filled, bool (y, x): pixels of a mask that are brighter than half."""
    if isinstance(hole, str | Path):
        path, image = Path(hole), need("PIL.Image", "photo")
        try:
            with image.open(path) as opened:
                values = np.asarray(opened.convert("L"))
        except FileNotFoundError:
            raise InputError(f"hole: {path}: there is no such file; expected a black and white picture") from None
        except Exception:  # decoders meet damaged files with whatever that causes
            raise InputError(f"hole: {path}: cannot be read as a picture; expected a black and white one") from None
        found = values > 127
    else:
        values = np.asarray(hole)
        if values.dtype.kind not in "bu":
            raise InputError(f"hole: found {values.dtype}; expected a bool or uint8 array, true where to fill")
        if values.ndim not in (2, 3) or not values.size:
            raise InputError(f"hole: found the shape {values.shape}; expected (y, x)")
        if values.ndim == 3:
            values = values[..., :3].max(axis=2)
        found = values if values.dtype == bool else values > np.iinfo(values.dtype).max // 2
    if not found.any() and (isinstance(hole, str | Path) or values.any()):
        raise InputError(
            "hole: no pixel is brighter than half, so that nothing would be filled; expected white where to fill"
        )
    if found.shape != shape[:2]:
        raise InputError(
            f"hole: found {found.shape[-1]} x {found.shape[0]} pixels; expected {shape[1]} x {shape[0]}, the photo's"
        )
    if found.all():
        raise InputError("hole: covers the whole photograph, so that nothing is left to restore it from")
    return np.asarray(found)


def write_restored(path: str | Path, rgb: np.ndarray, alpha: np.ndarray | None, grey: bool) -> None:
    """Write a restored picture; a grey one as greyscale where the format takes it."""
    from biofacenet.photo.reading import write_photo

    path = Path(path)
    if not grey or alpha is not None or (rgb.dtype == np.uint16 and path.suffix.lower() in (".jpg", ".jpeg")):
        write_photo(path, rgb, alpha)
        return
    with written_whole(path) as part:
        need("PIL.Image", "photo").fromarray(np.ascontiguousarray(rgb[..., 0])).save(part)


def _read(path: Path) -> tuple[Photo, bool]:
    image = need("PIL.Image", "photo")
    try:
        content = path.read_bytes()
        with image.open(BytesIO(content)) as opened:
            frames = getattr(opened, "n_frames", 1)
            if frames > 1 and opened.format in _MOVING:
                raise InputError(f"{path}: an animation of {frames} pictures; expected a single photograph")
            grey = opened.mode in _GREY_MODES or (
                opened.mode in ("RGB", "RGBA") and _is_grey(np.asarray(opened.convert("RGB")))
            )
            if grey and min(opened.size) >= SMALLEST_SIDE:
                return _decoded_grey(opened), True
    except InputError:
        raise
    except Exception:  # said in full by the reader of colour
        return read_photo(path), False
    return read_photo(path), False


def _decoded_grey(opened: Any) -> Photo:
    orientation = opened.getexif().get(ORIENTATION, 1)
    alpha = None
    if opened.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(opened).astype(np.int64)
        values = values.clip(0, 65535).astype(np.uint16)
    else:
        if opened.has_transparency_data:
            both = np.asarray(opened.convert("LA"))
            values, alpha = both[..., 0], both[..., 1]
        else:
            values = np.asarray(opened.convert("L"))
    values = upright(values[..., None], orientation)[..., 0]
    alpha = None if alpha is None else upright(alpha[..., None], orientation)[..., 0]
    return _grey(values, alpha)


def _grey(values: np.ndarray, alpha: np.ndarray | None) -> Photo:
    if min(values.shape) < SMALLEST_SIDE:
        raise InputError(f"{values.shape[1]} x {values.shape[0]} pixels; expected at least {SMALLEST_SIDE} a side")
    return Photo(np.repeat(values[..., None], 3, axis=2), alpha, ("greyscale: restored as grey, no pigments claimed",))


def _is_grey(rgb: np.ndarray) -> bool:
    values = rgb[..., :3]
    spread = (values.max(axis=2) - values.min(axis=2)) / np.iinfo(values.dtype).max
    return bool(np.quantile(spread, 0.999) <= _GREY)
