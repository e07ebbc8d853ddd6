"""Damaged files of every format: they load or they are refused in one line, without asking for much memory."""

from __future__ import annotations

import resource
import warnings
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import spectral.io.envi
import xarray
from scipy.io import savemat

import msfit
from msfit.errors import InputError

NM = np.arange(400.0, 701, 10)
REFLECTANCE = np.random.default_rng(0).uniform(0.05, 0.7, (6, 5, NM.size))
LIGHT = np.linspace(1e15, 4e15, NM.size)
SCENE = {
    "photons": REFLECTANCE * LIGHT,
    "wave": NM,
    "illuminant": {"type": "illuminant", "spectrum": {"wave": NM}, "data": {"photons": LIGHT[:, None]}},
}
DATASET = xarray.Dataset({"reflectance": (("y", "x", "wavelength"), REFLECTANCE)}, coords={"wavelength": NM})
MOST_MEMORY = 200_000  # kB, by which a process may grow


def _v73(path: Path) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file["photons"], file["wave"] = SCENE["photons"].T, NM[:, None]
        file["illuminant/data/photons"] = LIGHT[None]
        file["illuminant/type"] = np.array([[ord(letter)] for letter in "illuminant"], np.uint16)
        file["illuminant/type"].attrs["MATLAB_class"] = np.bytes_("char")


def _envi(path: Path) -> None:
    header = {"wavelength": NM.tolist(), "wavelength units": "nm", "bbl": [1] * NM.size, "data ignore value": -1}
    spectral.io.envi.save_image(str(path), REFLECTANCE.astype(np.float32), metadata=header)


def _bands(path: Path) -> None:
    for k, nm in enumerate(NM):
        iio.imwrite(path.parent / f"{nm:.0f}nm{path.suffix}", np.uint16(60_000 * REFLECTANCE[..., k]))
    (path.parent / f"550nm{path.suffix}").rename(path)


# Name of the file that is damaged, and what writes it (with its companions).
FORMATS: dict[str, Callable[[Path], None]] = {
    "v4.mat": lambda path: savemat(path, {"data": REFLECTANCE.reshape(-1, NM.size), "wave": NM}, format="4"),
    "v6.mat": lambda path: savemat(path, SCENE),
    "v7.mat": lambda path: savemat(path, SCENE, do_compression=True),
    "v73.mat": _v73,
    "plain.npz": lambda path: np.savez(path, reflectance=REFLECTANCE, wave=NM),
    "packed.npz": lambda path: np.savez_compressed(path, reflectance=REFLECTANCE, wave=NM),
    "array.npy": lambda path: np.save(path, REFLECTANCE),
    "hdf5.nc": lambda path: DATASET.to_netcdf(path, engine="h5netcdf"),
    "classic.nc": lambda path: DATASET.to_netcdf(path, engine="scipy"),
    "header.hdr": _envi,
    "550nm_.png": _bands,
    "550nm_.tif": _bands,
    "zarr.json": lambda path: DATASET.to_zarr(path.parent, mode="w", consolidated=False),
    "reflectance/zarr.json": lambda path: DATASET.to_zarr(path.parents[1], mode="w", consolidated=False),
}


def damaged(sound: bytes, seed: int) -> bytes:
    """A few bytes changed, a length made huge, a piece cut out or the end cut off; the first bytes more often."""
    rng = np.random.default_rng(seed)
    found = bytearray(sound)
    way = rng.integers(5)
    if way == 0:
        for place in rng.integers(0, len(found), rng.integers(1, 8)):
            found[place] = rng.integers(256)
    elif way == 1:
        found[rng.integers(min(len(found), 1500))] = rng.integers(256)
    elif way == 2:
        place = rng.integers(max(1, min(len(found), 3000) - 4))
        found[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"9999"])
    else:
        start, end = sorted(rng.integers(0, len(found), 2))
        del found[start : end if way == 3 else None]
    return bytes(found)


def check(folder: Path, name: str, seeds: range) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[name](path)
    target = folder if path.suffix in (".png", ".tif", ".json") else path
    options = {"wavelengths": NM} if path.suffix == ".npy" else {}
    options |= {"white": np.full(NM.size, 6e4)} if path.suffix in (".png", ".tif") else {}
    sound = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of what they find
        msfit.load(target, **options).rows(slice(None))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in seeds:
            path.write_bytes(damaged(sound, seed))
            try:
                msfit.load(target, **options).rows(slice(0, 2))
            except Exception as error:
                if not isinstance(error, InputError) or "\n" in str(error):
                    pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, range(25))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, range(25, 1000))
