"""`msfit info` and `render`: what a file holds, and pictures of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msfit.cli.arguments import check_apart, parse_ranges
from msfit.cli.console import say
from msfit.cli.options import (
    Dark,
    Orientation,
    Overwrite,
    Saturation,
    Scale,
    Variable,
    Wavelengths,
    White,
    loading_options,
)

if TYPE_CHECKING:
    from msfit.data.cube import Cube
    from msfit.data.result import FitResult

# Large scenes are read block by block, and their percentiles taken from a part of the samples.
_SAMPLES_A_BLOCK = 1 << 24
_SAMPLES_KEPT = 1 << 20
_PICTURES = (".png", ".tif", ".tiff", ".jpg")


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scene, spectra, or a result.", show_default=False)],
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    wavelengths: Wavelengths = None,
    saturation: Saturation = None,
    scale: Scale = None,
) -> None:
    """Say what a file holds: shape, bands, light, range."""
    options = loading_options(white, dark, variable, orientation, wavelengths, saturation, scale)
    from msfit.data.cube import Cube
    from msfit.io.either import load_either

    found, raw = load_either(file, options)

    lines = _describe_cube(found, raw=raw) if isinstance(found, Cube) else _describe_result(found)
    say("\n".join([str(file), *(f"  {name:<13} {text}" for name, text in lines)]))


def render(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scene or a result.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Picture (.png, .tif, .jpg).")],
    illuminant: Annotated[str, typer.Option(help="D65, A, E, D5000, F2, ..., or a CSV file.")] = "D65",
    camera: Annotated[str, typer.Option(help="cie1931, mean, or a file of sensitivities.")] = "cie1931",
    what: Annotated[
        str,
        typer.Option(metavar="appearance|albedo|panel", help="Of a result: as lit, the skin alone, or all its maps."),
    ] = "appearance",
    ranges: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="NAME=LOW:HIGH,...", help="Colours of a panel, as f_mel=0:0.4, to compare panels."
        ),
    ] = None,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    wavelengths: Wavelengths = None,
    saturation: Saturation = None,
    scale: Scale = None,
    overwrite: Overwrite = False,
) -> None:
    """Render a scene or a result to a picture."""
    import numpy as np
    from PIL import Image

    from msfit.errors import InputError
    from msfit.io.either import load_either
    from msfit.io.output import check_absent, check_no_input, check_output, written_whole

    check_output(output, _PICTURES)
    check_apart([output], [file])
    check_no_input(output, [white, dark, illuminant, camera, wavelengths])
    check_absent([output], overwrite)
    options = loading_options(white, dark, variable, orientation, wavelengths, saturation, scale)
    found, _ = load_either(file, options, raw=False)
    if what == "panel" or ranges is not None:
        _save_panel(file, found, output, what, parse_ranges("--range", ranges))
        return
    if len(found.shape) != 2:
        raise InputError(f"{file}: holds {found.shape[0]:,} spectra, no picture; expected a scene or its result")
    from msfit.rendering import render as render_picture

    picture = render_picture(found, illuminant, camera, what=what, srgb=True)
    with written_whole(output) as part:
        Image.fromarray(np.rint(255 * picture).astype(np.uint8), "RGB").save(part)
    say(f"{output}: {picture.shape[1]} x {picture.shape[0]} pixels")


def _save_panel(file: Path, found: Cube | FitResult, output: Path, what: str, ranges: Mapping[str, Any]) -> None:
    from msfit.data.result import FitResult
    from msfit.errors import InputError
    from msfit.io.output import written_whole

    if what != "panel":
        raise InputError("--range: is of panels; say --what panel, or leave it out")
    if not isinstance(found, FitResult):
        raise InputError(f"{file}: is no result; expected one, as `msfit fit` writes it: a panel shows its maps")
    extra = {"std": found.std is not None, "gap": found.gap is not None}
    with written_whole(output) as part:
        found.plot(ranges=ranges or None, **extra).savefig(part)
    say(f"{output}: panel of {found.model}")


def _describe_cube(cube: Cube, *, raw: bool = False) -> list[tuple[str, str]]:
    import numpy as np

    samples, missing, saturated = _survey(cube)
    # of what the mask leaves
    total = cube.values.size if cube.mask is None else max(1, int(cube.mask.sum()) * cube.values.shape[-1])
    lines = [
        ("pixels", _pixels(cube.shape)),
        ("bands", _bands(cube.wavelengths)),
        ("values", f"{cube.values.dtype}, {'counts or radiance, no white reference yet' if raw else _kind(cube)}"),
    ]
    if samples.size:
        level = float(np.asarray(cube.illuminant).flat[0]) if raw and cube.illuminant is not None else 1.0
        low, middle, high = level * np.percentile(samples, (1, 50, 99))
        name, unit = ("levels", "") if raw else ("reflectance", " [1]")
        lines.append((name, f"median {middle:.3g}, {low:.3g} to {high:.3g} from 1st to 99th percentile{unit}"))
    saturation = (
        "no level known" if cube.saturation is None else f"{_share(saturated / total)}, at or above {cube.saturation:g}"
    )
    lines += [("saturated", saturation), ("not finite", _share(missing / total))]
    if cube.mask is not None:
        lines.append(("mask", f"leaves out {_share(1 - float(cube.mask.mean()), 'pixels')}"))
    lines.append(("models", _models(cube.wavelengths)))
    if raw:
        how = "find a white patch: msfit view FILE; then --white y0:y1,x0:x1, or --white FILE"
        return [*lines, *_others({k: v for k, v in cube.provenance.items() if k != "white"}), ("next", how)]
    return lines + _others(cube.provenance)


def _survey(cube: Cube) -> tuple[Any, int, int]:
    """Of pixels that are not masked: finite samples of reflectance, evenly spread; how many samples are not finite, and
    how many are saturated."""
    import numpy as np

    rows, a_row = cube.shape[0], max(1, cube.values[:1].size)
    step = max(1, _SAMPLES_A_BLOCK // a_row)
    spread = max(1, cube.values.size // _SAMPLES_KEPT)
    kept, missing, saturated = [], 0, 0
    for start in range(0, rows, step):
        part = slice(start, start + step)
        reflectance, usable = cube.rows(part)
        if cube.mask is not None:
            reflectance, usable = reflectance[cube.mask[part]], usable[cube.mask[part]]
        finite = np.isfinite(reflectance)
        missing += int((~finite).sum())
        saturated += int((finite & ~usable).sum())
        some = reflectance.ravel()[::spread]
        kept.append(some[np.isfinite(some)])
    return np.concatenate(kept), missing, saturated


def _describe_result(result: FitResult) -> list[tuple[str, str]]:
    import numpy as np

    from msfit.data.result import MAPS

    lines = [
        ("result", result.summary()),
        ("pixels", _pixels(result.shape)),
        ("model", result.model),
        ("bounds", ", ".join(f"{name} {low:g}-{high:g}" for name, (low, high) in result.bounds.items())),
        ("bands", _bands(result.wavelengths)),
    ]
    for name in MAPS:
        values = getattr(result, name)
        if np.isfinite(values).any():
            low, middle, high = np.nanpercentile(values, (5, 50, 95))
            lines.append((name, f"median {middle:.3g}, {low:.3g} to {high:.3g} from 5th to 95th percentile [1]"))
    estimated = "network" in result.attrs  # of a photograph, where nothing was fitted
    for status, count in result.counts().items():
        meaning = status.meaning.replace("converged inside the bounds", "estimated") if estimated else status.meaning
        lines.append(
            ("status", f"{count:,} {meaning.replace('converged with', 'estimated with') if estimated else meaning}")
        )
    return lines + _others(result.attrs)


def _others(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), str(value)) for name, value in attributes.items() if value not in (None, "")]


def _kind(cube: Cube) -> str:
    if cube.illuminant is None:
        return "reflectance"
    light = "one light for all pixels" if cube.illuminant.ndim == 1 else "a light of its own for each pixel"
    return f"radiance, {light}" + ("" if cube.dark is None else ", dark reference")


def _pixels(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"{shape[0]:,} spectra"
    return f"{shape[0]} x {shape[1]} (y x x)"


def _bands(wavelengths: Any) -> str:
    import numpy as np

    steps = np.diff(wavelengths)
    spacing = ""
    if steps.size:
        even = np.allclose(steps, steps[0], rtol=1e-3)
        spacing = f", every {steps.mean():.4g} nm" if even else f", {steps.min():.3g} to {steps.max():.3g} nm apart"
    return f"{wavelengths.size}, {wavelengths[0]:g}-{wavelengths[-1]:g} nm{spacing}"


def _models(wavelengths: Any) -> str:
    """How many bands each model can use."""
    from msfit.skin.models import get_model, model_names

    usable = []
    for name in model_names():
        low, high = get_model(name).wavelength_range
        inside = int(((wavelengths >= low) & (wavelengths <= high)).sum())
        usable.append(f"{name} {inside} bands")
    return ", ".join(usable)


def _share(share: float, of: str = "samples") -> str:
    return f"no {of}" if share == 0 else f"{100 * share:.2g} % of the {of}"
