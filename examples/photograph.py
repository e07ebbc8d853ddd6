"""A photograph taken apart by the network that ships. Nobody was photographed: it is a rendered face."""

import numpy as np

import biofacenet
import msfit
from msfit.synth import make_scene

scene = make_scene(4, size=192, split="validation", noise=False)
photograph = np.rint(255 * msfit.render(scene.cube, "D65", "mean", srgb=True)).astype(np.uint8)

result = biofacenet.predict(photograph)
print(result)
figure = result.plot()
