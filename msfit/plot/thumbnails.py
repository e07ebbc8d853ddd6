"""Cubes and results as notebooks show them: small maps, and counts in words."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np

from msfit.data.cube import Cube
from msfit.data.lazy_arrays import is_lazy
from msfit.data.result import MAPS, FitResult
from msfit.errors import InputError
from msfit.plot.style import COLOUR_MAPS, MASKED, OTHERS, robust_range

_LARGEST = 160  # pixels along the longer side
_FEWEST = 24  # a picture of fewer pixels along its longer side is enlarged
_CAPTION = "font-size:smaller;text-align:center"


def result_in_html(result: FitResult) -> str:
    """Maps of a picture, or medians of spectra, and counts of what became of the pixels."""
    name = type(result).__name__
    lines = [f"<b>{name}</b> {_pixels(result.shape)}, {html.escape(result.model)}: {html.escape(result.summary())}"]
    names = [*MAPS, *result.extra]
    if len(result.shape) == 2 and not is_lazy(result.status):
        lines.append(_row([(_map(result, name), f"{name}, median {result.median(name):.3g}") for name in names]))
    else:
        rows = "".join(f"<tr><td>{html.escape(n)}</td><td>{result.median(n):.4g}</td></tr>" for n in names)
        lines.append(f"<table><tr><th>map</th><th>median</th></tr>{rows}</table>")
    counts = sorted(result.counts().items(), key=lambda item: -item[1])
    lines.append("<br>".join(f"{count:,} {html.escape(status.meaning)}" for status, count in counts))
    return f"<div>{'<br>'.join(lines)}</div>"


def cube_in_html(cube: Cube) -> str:
    """A picture of the cube under D65, or its mean band, and what it holds."""
    line = f"<b>Cube</b> {html.escape(cube.summary())}"
    if len(cube.shape) != 2 or is_lazy(cube.values):
        return f"<div>{line}</div>"
    step = _step(cube.shape)
    values, _ = _thin(cube, step).rows(slice(None))
    return f"<div>{line}<br>{_row([(_picture(cube, values), '')])}</div>"


def _picture(cube: Cube, values: np.ndarray) -> np.ndarray:
    from msfit.rendering import render, to_display

    try:
        linear = render(Cube(np.clip(values, -1, 2), cube.wavelengths))
    except InputError:  # bands that make no colours
        grey = np.nanmean(values, axis=-1)
        return np.repeat(np.clip(grey / robust_range(grey)[1], 0, 1)[..., None], 3, -1)
    bright = robust_range(linear.max(axis=-1))[1]
    return to_display(linear * (0.9 / max(bright, 1e-6)))


def _thin(cube: Cube, step: int) -> Cube:
    some = (slice(None, None, step),) * 2
    light, dark = (p if p is None or p.ndim == 1 else p[some] for p in (cube.illuminant, cube.dark))
    mask = None if cube.mask is None else cube.mask[some]
    return cube.changed(values=cube.values[some], illuminant=light, dark=dark, mask=mask)


def _map(result: FitResult, name: str) -> np.ndarray:
    step = _step(result.shape)
    values = np.asarray(result.map(name))[::step, ::step]
    low, high = robust_range(values)
    colours: Any = COLOUR_MAPS.get(name, OTHERS)
    return np.asarray(colours(np.ma.masked_invalid((values - low) / (high - low)))[..., :3])


def _step(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape) // _LARGEST))


def _row(pictures: list[tuple[np.ndarray, str]]) -> str:
    cells = "".join(
        f'<td style="{_CAPTION}"><img src="data:image/png;base64,{_png(image)}" style="background:{MASKED}">'
        f"<br>{html.escape(text)}</td>"
        for image, text in pictures
    )
    return f"<table><tr>{cells}</tr></table>"


def _png(image: np.ndarray) -> str:
    from PIL import Image

    scale = max(1, _FEWEST * 4 // max(image.shape[:2]))
    pixels = np.rint(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _pixels(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if len(shape) == 2 else f"{shape[0]:,} spectra"
