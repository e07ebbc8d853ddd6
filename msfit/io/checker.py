"""White from a ColorChecker Classic in the picture: its white patch, divided by what that reflects."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.data.lazy_arrays import read_rows, row_blocks
from msfit.errors import InputError
from msfit.io.extras import need
from msfit.io.scan import Scan

_RED_GREEN_BLUE = (610.0, 545.0, 465.0)  # nm, near the peaks of the CIE 1931 matching functions as sRGB shows them
_BRIGHT = 99.5  # percentile that is shown white
_COLUMNS, _ROWS, _WHITE = 6, 4, (3, 0)  # of the chart; row and column of its white patch
_INNER = 0.25  # of a patch's side, either way from its middle: frames and what the chart is tilted by stay out
_FEWEST = 9  # pixels of the white patch
_BLACK = 0.25  # the darkest neutral reflects 0.03, the brightest 0.9: more of it is no chart, or a veil over it


def checker_white(scan: Scan, dark: Any = None) -> tuple[np.ndarray, str]:
    """Light on a ColorChecker Classic (X-Rite, 24 patches) that is in the picture.

    `dark` (band,) or of the scan's shape is subtracted. The chart is looked for by segmentation
    (colour-checker-detection, Mansencal et al.), in a picture of three bands. The light is the median of the inner
    white patch over that patch's reflectance, the mean of 30 charts (D. Pascale, BabelColor, 2012), which is known
    from 380 to 730 nm; bands beyond get no light, nor do those that are saturated there.

    Returns
    -------
    array (band,)
        In the scan's numbers, NaN where unknown.
    str
        Where the white patch is.

    Raises
    ------
    InputError
        A library is missing, the file holds no picture, there is no chart in it, or it is too small.
    """
    shape = tuple(scan.values.shape)
    if len(shape) != 3:
        raise InputError(f"white: a ColorChecker is looked for, but the file holds {shape[0]} spectra and no picture")
    chart = _found(_picture(scan))
    if chart is None:
        raise InputError(
            "white: found no ColorChecker Classic in the picture; expected all of its 24 patches, upright or turned, in"
            " even light: name the white patch, --white y0:y1,x0:x1 (msfit view FILE shows it)"
        )
    rows, columns = _white_pixels(chart, shape)
    if rows.size < _FEWEST:
        raise InputError(f"white: the ColorChecker's white patch has {rows.size} pixels; expected {_FEWEST} or more")
    y0, y1, x0, x1 = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
    block = read_rows(scan.values[:, x0:x1], slice(y0, y1))
    samples = block[rows - y0, columns - x0]
    if dark is not None and np.ndim(dark) == 3:
        dark = np.median(read_rows(dark[:, x0:x1], slice(y0, y1))[rows - y0, columns - x0], axis=0)
    if (saturation := scan.saturation) is None and samples.dtype.kind in "ui":
        saturation = float(np.iinfo(samples.dtype).max)
    light = np.median(samples.astype(np.float64), axis=0)
    if saturation is not None:
        light = np.where(light < saturation, light, np.nan)
    if dark is not None:
        light = light - dark
    nm, reflectance = _white_reflectance()
    return light / np.interp(scan.wavelengths, nm, reflectance, left=np.nan, right=np.nan), f"{y0}:{y1},{x0}:{x1}"


def _picture(scan: Scan) -> np.ndarray:
    """Three bands, each up to its own bright end, with the square root of sRGB: float32 (y, x, 3), wider than high."""
    bands = [int(np.abs(np.asarray(scan.wavelengths) - nm).argmin()) for nm in _RED_GREEN_BLUE]
    blocks = row_blocks(scan.values, 64, scan.values.shape[0])
    planes = np.concatenate([read_rows(scan.values, rows)[..., bands].astype(np.float32) for rows in blocks])
    planes = np.nan_to_num(planes, posinf=0, neginf=0)
    bright = np.maximum(np.percentile(planes, _BRIGHT, axis=(0, 1)), 1e-30)
    seen = np.sqrt(np.clip(planes / bright, 0, 1))
    # the detection turns what is higher than wide: its corners would be those of another picture
    return np.pad(seen, ((0, 0), (0, max(0, seen.shape[0] - seen.shape[1])), (0, 0)))


def _found(picture: np.ndarray) -> np.ndarray | None:
    """Corners (4, 2) of a chart as x, y in pixels: right of its top, right and left of its bottom, left of its top."""
    with np.printoptions():  # the library sets its own for the whole process
        segmentation = need("colour_checker_detection.detection.segmentation", "checker")
    charts = segmentation.detect_colour_checkers_segmentation(picture, additional_data=True)
    scale = picture.shape[1] / segmentation.SETTINGS_SEGMENTATION_COLORCHECKER_CLASSIC["working_width"]
    for chart in sorted(charts, key=lambda one: -_area(one.quadrilateral)):
        neutral = np.asarray(chart.swatch_colours)[-_COLUMNS:].mean(axis=1) ** 2
        if (np.diff(neutral) < 0).all() and neutral[-1] < _BLACK * neutral[0]:
            return np.asarray(chart.quadrilateral, np.float64) * scale
    return None


def _area(corners: Any) -> float:
    x, y = np.asarray(corners, np.float64).T
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


def _white_pixels(corners: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixels whose centre lies in the inner white patch."""
    target = np.array([[_COLUMNS, 0], [_COLUMNS, _ROWS], [0, _ROWS], [0, 0]], np.float32)
    chart = need("cv2", "checker").getPerspectiveTransform(corners.astype(np.float32), target)
    rows, columns = np.indices(shape[:2]).reshape(2, -1)
    x, y, depth = chart @ np.stack([columns + 0.5, rows + 0.5, np.ones(rows.size)])
    middle = _WHITE[0] + 0.5, _WHITE[1] + 0.5
    inner = (depth > 0) & (np.abs(y / depth - middle[0]) < _INNER) & (np.abs(x / depth - middle[1]) < _INNER)
    return rows[inner], columns[inner]


def _white_reflectance() -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths [nm] and reflectance [1] of the white patch."""
    chart = need("colour.characterisation", "checker").SDS_COLOURCHECKERS["BabelColor Average"]
    white = next(spectrum for name, spectrum in chart.items() if name.startswith("white"))
    return np.asarray(white.wavelengths), np.asarray(white.values)
