"""A scene fitted from disk to disk, block by block: the maps of the same pixels in memory, to the bit."""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray

import msfit
from msfit.synth import make_scene

scene = make_scene(5, size=96)
with tempfile.TemporaryDirectory() as folder:
    coordinates = {"wavelength": ("wavelength", scene.truth.wavelengths, {"units": "nm"})}
    values = np.asarray(scene.cube.reflectance, np.float32)
    on_disk = xarray.DataArray(values, dims=("y", "x", "wavelength"), coords=coordinates, attrs={"units": "1"})
    on_disk.to_dataset(name="reflectance").to_netcdf(Path(folder) / "scene.nc", engine="h5netcdf")

    msfit.fit_file(Path(folder) / "scene.nc", Path(folder) / "maps.h5", memory="2GiB")
    maps = msfit.load_result(Path(folder) / "maps.h5", lazy=True)
    coarse = np.asarray(maps.f_mel[::4, ::4])  # reads these rows alone
    whole = msfit.fit(Path(folder) / "scene.nc")
    np.testing.assert_array_equal(np.asarray(maps.f_mel), whole.f_mel)

figure, axes = plt.subplots(1, 2, figsize=(7, 3.2))
for ax, shown, title in zip(axes, (whole.f_mel, coarse), ("f_mel", "every fourth row and column"), strict=True):
    ax.imshow(shown, vmin=0, vmax=0.43, cmap="cividis")
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
