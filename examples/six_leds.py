"""Melanin of a person under six LEDs, of which the camera records one number each, beside 31 narrow bands."""

import matplotlib.pyplot as plt
import numpy as np

import msfit

nm = np.arange(400.0, 701.0, 10.0)
leds = msfit.Channels.gaussian([450, 505, 545, 577, 620, 660], 20.0)
rng = np.random.default_rng(1)
f_mel, f_blood = rng.uniform(0.03, 0.35, 400), rng.uniform(0.01, 0.06, 400)

bands = 0.8 * msfit.reflectance(f_mel, f_blood, nm) + 0.04
numbers = 0.8 * msfit.reflectance(f_mel, f_blood, channels=leds) + 0.04
noise = 0.003
narrow = msfit.fit(bands + noise * rng.standard_normal(bands.shape), nm)
six = msfit.fit(numbers + noise * rng.standard_normal(numbers.shape), channels=leds)

figure, axes = plt.subplots(figsize=(4.5, 4.5))
axes.plot(f_mel, narrow.f_mel, ".", label="31 bands")
axes.plot(f_mel, six.f_mel, ".", label="six LEDs", alpha=0.6)
axes.set(xlabel="f_mel put in", ylabel="f_mel found")
axes.legend()
