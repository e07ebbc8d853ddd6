"""Pairs of Shu et al., in files of exactly their layout, written here."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y
from torch.utils.data import DataLoader

from biofacenet.data.celeba_shu import CelebAShu, shading_of
from msfit.colour.transforms import decode_srgb
from msfit.errors import InputError

COUNT = 5


def write_pair(
    folder: Path, number: int = 0, *, bgr: bool = False, signed: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half-spheres of skin colour under random light; returns pictures, normals and lights as they are."""
    rng = np.random.default_rng(number)
    y, x = np.meshgrid(np.linspace(1.1, -1.1, 64), np.linspace(-1.1, 1.1, 64), indexing="ij")
    mask = x**2 + y**2 < 1
    normals = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))]) * mask
    normals[2] += ~mask
    pictures = rng.uniform(0.8, 1, (COUNT, 3, 64, 64)) * np.array([0.8, 0.6, 0.5])[:, None, None]
    inmc = np.zeros((COUNT, 10, 64, 64), np.float32)
    inmc[:, :3] = pictures[:, ::-1] if bgr else pictures
    inmc[:, 3:6] = normals if signed else (normals + 1) / 2
    inmc[:, 6] = mask
    inmc[:, 7:] = rng.uniform(size=(COUNT, 3, 64, 64))
    lights = rng.normal(size=(COUNT, 3, 9)).astype(np.float32) * 0.2
    lights[..., 0] += 1
    with h5py.File(folder / f"zx_7_d10_inmc_celebA_{number:02d}.hdf5", "w") as file:
        file["zx_7"] = inmc
    with h5py.File(folder / f"zx_7_d3_lrgb_celebA_{number:02d}.hdf5", "w") as file:
        file["zx_7"] = lights
    return pictures.astype(np.float32), normals, lights


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_order_of_channels_and_encoding_of_normals_are_found(tmp_path: Path, bgr: bool, signed: bool) -> None:
    pictures, normals, lights = write_pair(tmp_path, bgr=bgr, signed=signed)
    data = CelebAShu(tmp_path)
    assert len(data) == COUNT
    item = data[2]
    torch.testing.assert_close(item["image"], decode_srgb(torch.from_numpy(pictures[2])))
    face = item["mask"][0] > 0
    torch.testing.assert_close(item["normals"][:, face], torch.from_numpy(normals).float()[:, face], atol=1e-5, rtol=0)
    assert torch.equal(item["lights"], torch.from_numpy(lights[2]))
    assert item["shading"].shape == item["mask"].shape == (1, 64, 64)
    assert torch.equal(CelebAShu(tmp_path, order="bgr" if bgr else "rgb")[2]["image"], item["image"])


def test_shading_is_the_irradiance_of_the_light() -> None:
    """Against the sum over real spherical harmonics with the clamped cosine's factors (Basri & Jacobs 2003)."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = rng.normal(size=9)
    theta, phi = np.arccos(normals[:, 2]), np.arctan2(normals[:, 1], normals[:, 0])
    expected = np.zeros(50)
    for (degree, order), coefficient in zip([(n, m) for n in range(3) for m in range(-n, n + 1)], light, strict=True):
        wave = sph_harm_y(degree, abs(order), theta, phi) * (-1) ** order
        part = wave.real if order >= 0 else wave.imag
        real = part * (np.sqrt(2) if order else 1)
        expected += coefficient * (np.pi, 2 * np.pi / 3, np.pi / 4)[degree] * real
    found = shading_of(torch.from_numpy(normals.T)[:, :, None], torch.from_numpy(light)[None])[0, :, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_shading_is_differentiable() -> None:
    normals = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    lights = torch.randn(3, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shading_of, (normals, lights))


def test_workers_and_copies_read_for_themselves(tmp_path: Path) -> None:
    write_pair(tmp_path, 0)
    write_pair(tmp_path, 1)
    data = CelebAShu(tmp_path)
    alone = torch.stack([data[k]["image"] for k in range(len(data))])
    loaded = torch.cat([batch["image"] for batch in DataLoader(data, 4, num_workers=2)])
    assert torch.equal(alone, loaded)
    assert torch.equal(pickle.loads(pickle.dumps(data))[7]["image"], alone[7])
    assert torch.equal(data[-1]["image"], alone[-1])
    with pytest.raises(IndexError):
        data[10]


def broken(folder: Path, what: str) -> None:
    pictures, lights = (folder / f"zx_7_{kind}_celebA_00.hdf5" for kind in ("d10_inmc", "d3_lrgb"))
    if what == "cut off":
        pictures.write_bytes(pictures.read_bytes()[:5000])
    elif what == "no HDF5":
        lights.write_text("<html>quota exceeded</html>")
    elif what == "empty":
        pictures.write_bytes(b"")
    elif what == "absent":
        lights.unlink()
    elif what == "foreign":
        with h5py.File(pictures, "w") as file:
            file["data"] = np.zeros(3)
    elif what == "shape":
        with h5py.File(pictures, "w") as file:
            file["zx_7"] = np.zeros((2, 7, 64, 64))
    elif what == "unmatched":
        with h5py.File(lights, "w") as file:
            file["zx_7"] = np.zeros((COUNT + 1, 3, 9))
    elif what == "range":
        with h5py.File(pictures, "a") as file:
            file["zx_7"][:] *= 255
    elif what == "nothing":
        pictures.unlink()


@pytest.mark.parametrize(
    "what", ["cut off", "no HDF5", "empty", "absent", "foreign", "shape", "unmatched", "range", "nothing"]
)
def test_damaged_or_foreign_files_are_refused_in_one_line(tmp_path: Path, what: str) -> None:
    write_pair(tmp_path)
    broken(tmp_path, what)
    with pytest.raises(InputError, match=r"expected|anew") as refused:
        CelebAShu(tmp_path)
    assert "\n" not in str(refused.value)


def damage(folder: Path, kind: str, seeds: range) -> None:
    """The pair loads, or it is refused in one line, whatever a few bytes of a file of it say."""
    path = folder / f"zx_7_{kind}_celebA_00.hdf5"
    sound = path.read_bytes()
    for seed in seeds:
        path.write_bytes(damaged(sound, seed))
        try:
            data = CelebAShu(folder)
            for k in range(min(len(data), COUNT + 2)):
                assert data[k]["image"].shape == (3, 64, 64)
        except InputError as refused:
            if "\n" in str(refused):
                pytest.fail(f"seed {seed}: {refused}")


def damaged(sound: bytes, seed: int) -> bytes:
    """A few bytes changed or a length made huge, mostly in the headers, or the end cut off."""
    rng = np.random.default_rng(seed)
    found = bytearray(sound)
    way, place = rng.integers(4), int(rng.integers(min(len(found), 3000) - 4))
    if way == 0:
        found[place] = rng.integers(256)
    elif way == 1:
        found[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
    elif way == 2:
        found[place : place + 4] = []
    else:
        del found[int(rng.integers(len(found))) :]
    return bytes(found)


@pytest.mark.parametrize("kind", ["d10_inmc", "d3_lrgb"])
def test_damaged_pairs_load_or_are_refused(tmp_path: Path, kind: str) -> None:
    write_pair(tmp_path)
    damage(tmp_path, kind, range(60))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["d10_inmc", "d3_lrgb"])
def test_many_damaged_pairs_load_or_are_refused(tmp_path: Path, kind: str) -> None:
    write_pair(tmp_path)
    damage(tmp_path, kind, range(60, 1060))


def test_pairs_whose_array_lies_in_another_file_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    lights = tmp_path / "zx_7_d3_lrgb_celebA_00.hdf5"
    lights.rename(tmp_path / "elsewhere.h5")
    with h5py.File(lights, "w") as file:
        file["zx_7"] = h5py.ExternalLink("elsewhere.h5", "/zx_7")
    with pytest.raises(InputError, match=r"zx_7 is a link to elsewhere\.h5"):
        CelebAShu(tmp_path)


def test_pairs_that_would_be_unpacked_in_huge_pieces_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path)
    pictures = tmp_path / "zx_7_d10_inmc_celebA_00.hdf5"
    with h5py.File(pictures, "w") as file:
        chunks = (20_000, 10, 64, 64)  # 3 GiB, of which nothing is in the file
        file.create_dataset("zx_7", (20_000, 10, 64, 64), np.float32, chunks=chunks, compression="gzip")
    with pytest.raises(InputError, match="lies in pieces of"):
        CelebAShu(tmp_path)


def test_an_unknown_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="order"):
        CelebAShu(tmp_path, order="grb")
