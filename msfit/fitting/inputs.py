"""What a fit is given, as a `Cube`: arrays, tables, files; and which of its pixels are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msfit.data.bands import has_step
from msfit.data.channels import Channels
from msfit.data.cube import TURNED_ROUND, Cube
from msfit.data.lazy_arrays import read_rows
from msfit.errors import InputError
from msfit.fitting.options import FitOptions


def input_cube(cube: Any, wavelengths: Any, options: FitOptions) -> Cube:
    """The cube of what a door is given, with the mask and the channels that its options say."""
    if options.estimates_light:
        return _under_estimated_light(cube, wavelengths, options)
    source = as_cube(cube, wavelengths, None, options.loading, options.channels)
    source = in_channels(source, options)
    return source if options.mask is None else masked(source, options.mask)


def is_path(given: Any) -> bool:
    """Whether an input is the name of a file."""
    return isinstance(given, str | Path)


def _under_estimated_light(cube: Any, wavelengths: Any, options: FitOptions) -> Cube:
    """The same where the light is sought in the picture: what light the input states is not looked at."""
    from msfit.fitting.light import estimate_illuminant, lit, recorded

    loading = dict(options.loading or {})
    if is_path(cube):
        if loading.get("white", "unknown") != "unknown":
            raise InputError("white: given beside illuminant='estimate', which looks for that light; leave out either")
        loading["white"] = "unknown"
    elif not isinstance(cube, Cube) and (wavelengths is not None or options.channels is not None):
        cube = recorded(cube, wavelengths, options.channels)
        wavelengths = None
    source = as_cube(cube, wavelengths, None, loading, options.channels)
    if not (is_auto := isinstance(options.mask, str) and options.mask == "auto"):
        source = masked(source, options.mask)
    channels = options.channels if source.channels is None else None
    if options.fwhm is not None:
        source = source.changed(channels=None)
        channels = Channels.gaussian(source.wavelengths, options.fwhm) if options.fwhm else None
    source = recorded(source, None, channels)
    found = lit(source, estimate_illuminant(source))
    return masked(found, "auto") if is_auto else found


def in_channels(cube: Cube, options: FitOptions) -> Cube:
    """The cube with the channels of `channels` or `fwhm`, or of its own, under the light of `illuminant`.

    Raises
    ------
    InputError
        Channels of another number than the bands; a light without channels, or a cube's light whose spectrum changes
        over the picture.
    """
    channels = options.channels if options.channels is not None else cube.channels
    if options.fwhm is not None:
        if options.fwhm == 0 and options.illuminant is not None:
            raise InputError("illuminant: bands that are needles have no use for it; leave it out")
        needles = cube.changed(channels=None, fwhm=None)
        return _gaussian(needles, options.fwhm, options) if options.fwhm else needles
    if channels is None and cube.fwhm is not None:
        return _as_stated(cube, options)
    if channels is None:
        if options.illuminant is not None:
            raise InputError(
                "illuminant: it weighs what channels respond to, and there are none; give channels or fwhm, or a Cube"
                " with its illuminant"
            )
        return cube
    _check_one_spectrum(cube)
    channels = _lit(channels, options)
    if len(channels) != cube.values.shape[-1]:
        raise InputError(f"channels: found {len(channels)}, the data have {cube.values.shape[-1]} bands")
    if options.channels is not None and TURNED_ROUND in str(cube.provenance.get("note", "")):
        channels = channels.take(slice(None, None, -1))  # in the order of the data, as they were
    order = np.argsort(channels.centres)
    if options.channels is None or order.tolist() == list(range(len(channels))):
        return cube.changed(channels=channels.take(order), wavelengths=channels.centres[order])
    return cube.select_bands(order).changed(channels=channels.take(order), wavelengths=channels.centres[order])


def _gaussian(cube: Cube, fwhm: Any, options: FitOptions) -> Cube:
    """The cube whose bands are Gaussians of these widths."""
    _check_one_spectrum(cube)
    channels = _lit(Channels.gaussian(cube.wavelengths, fwhm), options)
    # a response that is cut or sampled has its centroid a little beside its centre
    return cube.changed(channels=channels, wavelengths=channels.centres)


def _as_stated(cube: Cube, options: FitOptions) -> Cube:
    """The cube whose bands are as wide as it says, or needles where they cannot be fitted so; with a note."""
    narrow, wide = float(cube.fwhm.min()), float(cube.fwhm.max())  # type: ignore[union-attr]
    widths = f"{narrow:.3g}" if f"{narrow:.3g}" == f"{wide:.3g}" else f"{narrow:.3g}-{wide:.3g}"
    try:
        if has_step(options.bands):
            raise InputError("bands: found a step")
        chosen, how = _gaussian(cube, cube.fwhm, options), "Gaussians as wide; fwhm=0 takes them for needles"
    except InputError as error:
        if options.illuminant is not None:
            raise
        chosen, how = cube.changed(fwhm=None), f"needles ({str(error).split(';')[0]})"
    note = f"the file states bands {widths} nm wide: they are taken for {how}"
    notes = filter(None, (chosen.provenance.get("note"), note))
    return chosen.changed(provenance={**chosen.provenance, "note": "; ".join(map(str, notes))})


# A light is one spectrum at every place where its shape differs by no more than this from its mean shape.
_ONE_SPECTRUM = 0.01


def _check_one_spectrum(cube: Cube) -> None:
    """Refuse a light whose spectrum changes over the picture: responses would be weighed differently at each pixel."""
    light = cube.illuminant
    if light is None or light.ndim == 1:
        return
    step = max(1, light.shape[0] // 16)
    rows = [read_rows(light, slice(first, first + 1)) for first in range(0, light.shape[0], step)]
    sample = np.concatenate([np.asarray(row, np.float64).reshape(-1, light.shape[-1]) for row in rows])
    level = sample.mean(1, keepdims=True)
    lit = level[:, 0] > 0.01 * level.max()
    shapes = sample[lit] / level[lit]
    middle = np.median(shapes, axis=0)
    if (apart := float(np.abs(shapes / np.where(middle > 0, middle, np.inf) - (middle > 0)).max())) > _ONE_SPECTRUM:
        raise InputError(
            f"illuminant: its spectrum differs by up to {100 * apart:.3g} % over the picture, and channels are weighed"
            " by one; expected space times spectrum: fit the bands as needles (fwhm=0), or leave those parts out"
        )


def _lit(channels: Channels, options: FitOptions) -> Channels:
    return channels if options.illuminant is None else channels.under(options.illuminant)


def as_cube(
    cube: Any,
    wavelengths: Any = None,
    mask: Any = None,
    loading: Mapping[str, Any] | None = None,
    channels: Channels | None = None,
) -> Cube:
    """The cube of what `fit` takes.

    Parameters
    ----------
    cube : Cube, array, xarray.DataArray, pandas.DataFrame or Series, path
        As in `msfit.fit`.
    wavelengths : array (band,), optional
        [nm], of an array.
    mask : bool array (y, x) or (pixel,), "auto", "none" or path, optional
        As in `msfit.fit`.
    loading : mapping, optional
        Further arguments of `msfit.load`, with a path.

    Raises
    ------
    InputError
        An array without wavelengths, anything else with others than its own; arguments of `load` without a path;
        whatever `load` and `Cube` refuse.
    """
    if is_path(cube):
        found = _loaded(cube, wavelengths, loading or {})
    elif loading:
        raise InputError(f"loading: given beside {type(cube).__name__}; it is of files: leave it out, or give a path")
    else:
        found = _of_object(cube, wavelengths, channels)
    return found if mask is None else masked(found, mask)


def _loaded(path: str | Path, wavelengths: Any, loading: Mapping[str, Any]) -> Cube:
    from msfit.io import load

    if wavelengths is not None:
        loading = {"wavelengths": wavelengths, **loading}
    return load(path, **loading)


def _of_object(cube: Any, wavelengths: Any, channels: Channels | None) -> Cube:
    if isinstance(cube, Cube):
        if wavelengths is not None:
            raise InputError("wavelengths: given beside a Cube, which has its own; leave them out")
        return cube
    if hasattr(cube, "dims") and hasattr(cube, "coords"):
        return Cube.from_xarray(cube, wavelengths=wavelengths)
    if type(cube).__module__.partition(".")[0] == "pandas":
        return Cube.from_pandas(cube, wavelengths=wavelengths)
    if cube is None or hasattr(cube, "status"):
        raise InputError(
            f"cube: found {type(cube).__name__}; expected a Cube, an array with its wavelengths, an xarray or pandas"
            " object, or a path"
        )
    if wavelengths is None and channels is not None:
        if np.shape(cube)[-1:] != (len(channels),):
            raise InputError(
                f"channels: found {len(channels)}, the values have shape {np.shape(cube)}; expected one a band"
            )
        wavelengths = 400.0 + np.arange(len(channels))  # whatever their order is: they get their own in `in_channels`
    if wavelengths is None:
        raise InputError("wavelengths: missing; an array of reflectance needs one number a band [nm]")
    if hasattr(cube, "detach"):  # a tensor
        cube = cube.detach().cpu().numpy()
    if getattr(cube, "ndim", None) is None:
        cube = np.asarray(cube)
    return Cube(cube[None] if cube.ndim == 1 else cube, wavelengths)


def masked(cube: Cube, mask: Any) -> Cube:
    """The cube with another mask besides its own; "none" drops its own, "auto" finds skin, a path is read.

    Raises
    ------
    InputError
        The mask is no truth value a pixel, or no file.
    """
    if mask is None:
        return cube
    if isinstance(mask, str) and mask == "none":
        return cube.with_mask(None)
    if isinstance(mask, str) and mask == "auto":
        from msfit.mask import skin_mask

        found = cube.with_mask(skin_mask(cube))
        return found.changed(provenance={**cube.provenance, "mask": "auto: skin, found by its spectra"})
    if is_path(mask):
        from msfit.io.masks import read_mask

        mask = read_mask(mask, cube.shape)
    given = cube.with_mask(mask)
    return given if cube.mask is None else given.with_mask(cube.mask & np.asarray(given.mask))
