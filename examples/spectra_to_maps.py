"""A picture of skin with two moles and a flush, made by the model with noise, and taken apart again."""

import numpy as np

import msfit

nm = np.arange(400.0, 701.0, 10.0)
y, x = np.mgrid[-1:1:80j, -1:1:100j]
f_mel = 0.08 + 0.25 * sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.02) for a, b in [(-0.4, 0.3), (0.5, -0.2)])
f_blood = 0.02 + 0.03 * np.exp(-((x + 0.1) ** 2 + (y - 0.1) ** 2) / 0.2)
skin = (0.9 - 0.3 * x**2)[..., None] * msfit.reflectance(f_mel, f_blood, nm) + 0.03
skin += 0.003 * np.random.default_rng(0).standard_normal(skin.shape)

result = msfit.fit(skin, nm)
print(result)
print("largest error of f_mel:", np.abs(result.f_mel - f_mel).max().round(3))
result.plot(ranges={"f_mel": (0, 0.4)})
