"""A synthetic face whose white is wrong in one band: found, left out, fitted."""

import matplotlib.pyplot as plt
import numpy as np

import msfit
from msfit.synth import make_scene

scene = make_scene(3, size=96)
radiance = scene.radiance.copy()
radiance[..., 12] *= 1.2
cube = msfit.Cube(radiance, scene.truth.wavelengths, scene.illuminant)

report = msfit.check(cube)
print(report)
mended = msfit.fit(report.apply(cube), mask=scene.truth.mask, **report.options)
as_it_is = msfit.fit(cube, mask=scene.truth.mask)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
axes[0].imshow(msfit.render(scene.cube, srgb=True))
for ax, result, title in ((axes[1], as_it_is, "all bands"), (axes[2], mended, report.command_line())):
    shown = ax.imshow(result.f_blood, vmin=0, vmax=0.07, cmap="magma")
    ax.set_title(f"f_blood, {title}", fontsize=8)
for ax in axes:
    ax.set_axis_off()
figure.colorbar(shown, ax=axes[1:], shrink=0.8)
assert np.nanmedian(mended.rmse) < np.nanmedian(as_it_is.rmse)
