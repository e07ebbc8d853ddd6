"""Standard deviations that a fit states, beside how far its results scatter."""

import numpy as np

import msfit

nm = np.arange(400.0, 701.0, 10.0)
noise = 0.005
skin = 0.8 * msfit.reflectance(np.full(2000, 0.15), 0.03, nm) + 0.04
result = msfit.fit(skin + noise * np.random.default_rng(2).standard_normal(skin.shape), nm, std=True, noise=noise)
for name in ("f_mel", "f_blood", "i_d", "i_s"):
    print(f"{name}: stated {np.median(result.std[name]):.4f}, scatter {result.map(name).std():.4f}")
result.plot()
