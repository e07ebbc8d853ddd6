"""Damaged files of every format: they load or they are refused in one line, without asking for much memory."""

from __future__ import annotations

import io
import resource
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import scipy.io
import spectral.io.envi
import xarray
import zarr
from PIL import Image
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


MOST_SECONDS = 20  # of the processor, a file


def _by_hdf5(path: Path, name: str) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return np.asarray(file[name][()])


def _by_scipy(path: Path, name: str) -> np.ndarray:
    return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])


def _by_netcdf(path: Path, name: str) -> np.ndarray:
    with scipy.io.netcdf_file(path, mmap=False) as file:
        return np.array(file.variables[name].data)


def _by_spectral(path: Path, _: str) -> np.ndarray:
    return np.asarray(spectral.io.envi.open(str(path)).load())


def _by_zip(path: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        return np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")))


def _by_zarr(path: Path, name: str) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")[name][:])


def _by_pillow(path: Path, _: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


# Who else reads a format, and under which name it has the spectra. Of a folder of bands the damaged one is compared.
OTHERS: dict[str, tuple[Callable[[Path, str], np.ndarray], str]] = {
    "v4.mat": (_by_scipy, "data"),
    "v6.mat": (_by_scipy, "photons"),
    "v7.mat": (_by_scipy, "photons"),
    "v73.mat": (_by_hdf5, "photons"),
    "plain.npz": (_by_zip, "reflectance"),
    "packed.npz": (_by_zip, "reflectance"),
    "array.npy": (lambda path, _: np.load(path), ""),
    "hdf5.nc": (_by_hdf5, "reflectance"),
    "classic.nc": (_by_netcdf, "reflectance"),
    "header.hdr": (_by_spectral, ""),
    "550nm_.png": (_by_pillow, ""),
    "550nm_.tif": (_by_pillow, ""),
    "zarr.json": (_by_zarr, "reflectance"),
    "reflectance/zarr.json": (_by_zarr, "reflectance"),
}


def _others_view(name: str, path: Path) -> np.ndarray | None:
    """What another library reads; None where it cannot, or may not be asked: scipy's end whole processes."""
    read, variable = OTHERS[name]
    try:
        found = read(path, variable)
    except Exception:  # as these libraries meet damage
        return None
    return found.T if name == "v73.mat" else found


def _differs(name: str, cube: msfit.Cube, rows: np.ndarray, path: Path, reader: Reader) -> bool:
    """Whether values that were loaded without a word are not what another reader sees."""
    if cube.provenance.get("note"):
        return False
    other = reader.others_view(name, path)
    if other is None:
        return False
    other = np.asarray(other, np.float64)
    if path.suffix in (".png", ".tif"):
        band = int(np.argmin(np.abs(cube.wavelengths - 550)))
        return other.shape != cube.shape[:2] or not np.array_equal(rows[..., band], other[:2])
    layouts = [other] if other.ndim < 3 else [other, other.transpose(1, 2, 0)]
    alike = [one for one in layouts if one.shape == cube.values.shape]
    return not any(np.allclose(rows, one[:2], rtol=1e-6, atol=0, equal_nan=True) for one in alike)


class Reader:
    """A process in which other libraries read, and another one after it has crashed."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def others_view(self, name: str, path: Path) -> np.ndarray | None:
        """As of `_others_view`; None too where the process ends or hangs."""
        if self.pool is None:
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
        try:
            return self.pool.submit(_others_view, name, path).result(timeout=60)
        except (BrokenExecutor, TimeoutError):
            self.close()
            return None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def check(folder: Path, name: str, seeds: range, reader: Reader) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[name](path)
    target = folder if path.suffix in (".png", ".tif", ".json") else path
    options = {"wavelengths": NM} if path.suffix == ".npy" else {}
    options |= {"white": np.full(NM.size, 6e4)} if path.suffix in (".png", ".tif") else {}
    sound, loaded = path.read_bytes(), 0
    asked = target if path.suffix == ".json" else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of what they find
        msfit.load(target, **options).rows(slice(None))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in seeds:
            path.write_bytes(damaged(sound, seed))
            began = time.process_time()
            try:
                cube = msfit.load(target, **options)
                cube.rows(slice(0, 2))
                rows = np.asarray(cube.values[:2], np.float64)
            except Exception as error:
                if not isinstance(error, InputError) or "\n" in str(error):
                    pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
                continue
            finally:
                assert time.process_time() - began < MOST_SECONDS, seed
            loaded += 1
            if _differs(name, cube, rows, asked, reader):
                pytest.fail(f"seed {seed}: loaded without a word, and not what another reader sees")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path: Path, name: str, reader: Reader) -> None:
    check(tmp_path, name, range(6), reader)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(tmp_path: Path, name: str, reader: Reader) -> None:
    check(tmp_path, name, range(6, 366), reader)  # 5,040 in all
