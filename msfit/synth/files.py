"""Scenes on disk: an ISET file for the picture, a NetCDF file beside it for the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from msfit.errors import InputError
from msfit.io.output import check_absent, written_whole
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.synth.scene import Scene, check_settings, make_scene
from msfit.synth.truth import PIGMENT_MAPS, Truth

TRUTH_SUFFIX = "_truth.nc"
#: Basis functions that ISET's hyperspectral faces are stored with.
BASIS_FUNCTIONS = 6
#: What the files of scenes say of themselves.
COMMENT = "Stand-in: a synthetic face clothed in measured skin (msfit synth). No person was photographed."
# The first 116 bytes of a MAT-file are free text; scipy writes the time there, which would make equal scenes differ.
_MAT_TEXT = b"MATLAB 5.0 MAT-file, written by msfit".ljust(116)
_PICTURE_MAPS = ("i_d", "i_s", "depth", *PIGMENT_MAPS)


def write_scenes(
    folder: str | Path,
    count: int = 1,
    *,
    seed: int = 0,
    size: int = 256,
    mode: str = "measured",
    model: str = DEFAULT_MODEL,
    split: str = "train",
    basis: int | None = BASIS_FUNCTIONS,
    overwrite: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Make scenes with known truth and write them: NAME.mat for ISET and `msfit.load`, NAME_truth.nc beside it.

    Scene k has the seed `seed + k` and is named after its split and seed. A scene that is already there, whole and of
    the same settings, is left alone: an interrupted run goes on where it stopped.

    Parameters
    ----------
    folder : str or Path
        Is made if absent.
    count : int
        How many scenes.
    seed, size, mode, model, split
        As of `msfit.synth.make_scene`.
    basis : int, optional
        Number of basis functions that the radiance is compressed to, as in ISET's faces; None writes every band.
    overwrite : bool
        Whether other files of their names are written over; False refuses them.
    progress : callable (done, total), optional

    Returns
    -------
    list of Path
        The .mat files.

    Raises
    ------
    InputError
        Settings out of range, or a folder that cannot be written to.
    """
    if count < 1:
        raise InputError(f"count: found {count}; expected 1 scene or more")
    for last in (seed, seed + count - 1):
        check_settings(last, size, mode, split)  # before a folder is made for nothing
    get_model(model)
    folder = made_folder(folder)
    scenes = [
        {
            "seed": seed + number,
            "size": size,
            "mode": mode,
            "model": model,
            "split": split,
            "name": f"{split}-{seed + number:06d}",
        }
        for number in range(count)
    ]
    if not overwrite:
        check_others(folder, scenes)
    paths = []
    for number, settings in enumerate(scenes):
        paths.append(write_if_absent(folder, settings, basis))
        if progress is not None:
            progress(number + 1, count)
    return paths


def write_if_absent(folder: Path, settings: dict[str, Any], basis: int | None) -> Path:
    """Make and write one scene, unless both its files are there with these settings (arguments of `make_scene`)."""
    path = folder / f"{settings['name']}.mat"
    if not (path.is_file() and _is_of(path, settings)):
        write_scene(make_scene(**settings), path, basis)
    return path


def check_others(folder: Path, scenes: Iterable[dict[str, Any]]) -> None:
    """Refuse to write over files that are not those scenes, whole or begun, before the work begins.

    Raises
    ------
    InputError
        There is one.
    """
    for settings in scenes:
        path = folder / f"{settings['name']}.mat"
        if not _is_of(path, settings):
            check_absent([path, truth_path(path)], overwrite=False)


def _is_of(path: Path, settings: dict[str, Any]) -> bool:
    return _holds(truth_path(path), {**settings, "model": get_model(settings["model"]).name})


def write_scene(scene: Scene, path: str | Path, basis: int | None = BASIS_FUNCTIONS) -> None:
    """Write a scene as an ISET file to `path` (.mat), and its truth beside it. Both appear whole; the truth first."""
    import scipy.io

    path = Path(path)
    wave = scene.truth.wavelengths[:, None]
    height, width, bands = scene.radiance.shape
    if basis is None:
        picture: dict[str, Any] = {"photons": scene.radiance, "wave": wave}
    else:
        coefficients, functions, mean = linear_model(scene.radiance.reshape(-1, bands), basis)
        picture = {"mcCOEF": coefficients.reshape(height, width, basis).astype(np.float32)}
        picture |= {"basis": {"basis": functions, "wave": wave}, "imgMean": mean[None]}
    light = {
        "name": "synthetic",
        "type": "illuminant",
        "spectrum": {"wave": wave},
        "data": {"photons": scene.illuminant},
    }
    name = str(scene.truth.attrs["name"])
    _write_truth(scene.truth, truth_path(path))
    with written_whole(path) as part:
        scipy.io.savemat(
            part,
            {**picture, "illuminant": light, "comment": COMMENT, "name": name, "fov": 15.0, "dist": 1.0},
            do_compression=True,
        )
        with part.open("r+b") as file:
            file.write(_MAT_TEXT)


def linear_model(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and leading principal components of spectra (n, band), as ISETCam's `sceneToFile` stores them.

    Returns
    -------
    coefficients (n, count), basis (band, count), mean (band,)
        ``samples ~ coefficients @ basis.T + mean``.
    """
    if not 1 <= count <= samples.shape[1]:
        raise InputError(f"basis: found {count} basis functions; expected 1 to {samples.shape[1]}")
    values = samples.astype(np.float64)
    mean = values.mean(axis=0)
    centred = values - mean
    functions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    functions = functions * np.where(functions.sum(axis=0) < 0, -1, 1)
    return centred @ functions, functions, mean


def truth_path(path: str | Path) -> Path:
    """Where the truth of a scene file lies."""
    path = Path(path)
    return path.with_name(path.stem + TRUTH_SUFFIX)


def read_truth(path: str | Path) -> Truth:
    """Read the truth of a scene, from the scene's own path or the truth's.

    Raises
    ------
    InputError
        There is no such file, or it holds something else.
    """
    import xarray

    path = Path(path)
    path = path if path.name.endswith(TRUTH_SUFFIX) else truth_path(path)
    try:
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            maps = {name: dataset[name].to_numpy() for name in (*_PICTURE_MAPS, "reflectance", "albedo", "normals")}
            mask, wavelengths = dataset["mask"].to_numpy().astype(bool), dataset["wavelength"].to_numpy()
            return Truth(mask=mask, wavelengths=wavelengths, attrs=dict(dataset.attrs), **maps)
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file; expected the truth that msfit synth writes beside a scene"
        ) from None
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not the truth of a scene ({type(error).__name__}: {error}); write the scene anew"
        ) from None


def digest(path: str | Path) -> str:
    """SHA-256 of the numbers of a scene and of its truth: of values, not files, so that compression does not matter."""
    import scipy.io

    total = hashlib.sha256()
    stored = scipy.io.loadmat(path, struct_as_record=True)
    light = stored["illuminant"][0, 0]["data"][0, 0]["photons"]
    picture = (
        (stored["mcCOEF"], stored["basis"][0, 0]["basis"], stored["imgMean"])
        if "mcCOEF" in stored
        else (stored["photons"],)
    )
    truth = read_truth(path)
    maps = (truth.reflectance, truth.mask, truth.normals, *(getattr(truth, name) for name in _PICTURE_MAPS))
    for values in (*picture, light, *maps):
        total.update(f"{values.dtype.str}{values.shape}".encode())
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def made_folder(folder: str | Path) -> Path:
    """A folder to write to, made if absent."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); choose a folder that can be written to"
        ) from None
    return folder


def _write_truth(truth: Truth, path: Path) -> None:
    import xarray

    plane = ("y", "x")
    variables: dict[str, Any] = {name: (plane, getattr(truth, name), {"units": "1"}) for name in _PICTURE_MAPS}
    variables["depth"] = (plane, truth.depth, {"units": "cm"})
    variables["mask"] = (plane, truth.mask.astype(np.uint8))
    variables["reflectance"] = ((*plane, "wavelength"), truth.reflectance, {"units": "1"})
    variables["albedo"] = ((*plane, "channel"), truth.albedo, {"units": "1", "long_name": "linear sRGB under D65"})
    variables["normals"] = ((*plane, "axis"), truth.normals, {"long_name": "x right, y up, z to the camera"})
    data = xarray.Dataset(
        variables,
        coords={"wavelength": ("wavelength", truth.wavelengths, {"units": "nm"})},
        attrs={"comment": COMMENT, **truth.attrs},
    )
    packed = {name: {"zlib": True, "complevel": 4} for name in data.data_vars}
    with written_whole(path) as part:
        data.to_netcdf(part, engine="h5netcdf", encoding=packed)


def _holds(path: Path, settings: dict[str, Any]) -> bool:
    import xarray

    import msfit

    try:
        with xarray.open_dataset(path, engine="h5netcdf") as stored:
            wanted = {**settings, "version": msfit.__version__}
            return all(stored.attrs.get(name) == value for name, value in wanted.items() if value is not None)
    except (OSError, ValueError):
        return False
