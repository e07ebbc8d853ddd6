"""Two methods scored as in Table 1 on a face whose maps are known: a fit of 31 bands, and one of every third."""

import matplotlib.pyplot as plt
import numpy as np

import msfit
from msfit.metrics import Decomposition, decomposition_rmse
from msfit.synth import make_scene

scene = make_scene(6, size=96, mode="model")
known = scene.truth
truth = Decomposition(i_d=known.i_d, i_s=known.i_s, f_mel=known.f_mel, f_blood=known.f_blood)

scores = {}
for name, cube in (("31 bands", scene.cube), ("11 bands", scene.cube.select_bands(np.arange(0, 31, 3)))):
    found = msfit.fit(cube, mask=known.mask, model=known.attrs["model"])
    mine = Decomposition(i_d=found.i_d, i_s=found.i_s, f_mel=found.f_mel, f_blood=found.f_blood)
    scores[name] = decomposition_rmse(
        mine, truth, found.fitted, shading_scale="none", pigments="fraction", missing="omit"
    )
    print(name, {column: score for column, score in scores[name].items() if score is not None})

columns = ["diffuse", "specular", "melanin", "haemoglobin"]
figure, axes = plt.subplots(figsize=(5, 3.2))
for shift, (name, score) in zip((-0.2, 0.2), scores.items(), strict=True):
    axes.bar(np.arange(len(columns)) + shift, [score[column] for column in columns], 0.4, label=name)
axes.set_xticks(range(len(columns)), columns)
axes.set(ylabel="RMSE", yscale="log")
axes.legend()
