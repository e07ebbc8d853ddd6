"""A model of your own: any function of two pigments in torch is fitted, certified and drawn as the named ones are."""

import numpy as np
import torch

import msfit


def two_absorbers(f_mel, f_blood, wavelengths):
    """Melanin that falls with wavelength and blood with one band at 560 nm, by Lambert and Beer."""
    melanin = 12.0 * (wavelengths / 400) ** -3.5
    blood = 8.0 * torch.exp(-(((wavelengths - 560) / 30) ** 2))
    return torch.exp(-f_mel * melanin - f_blood * blood)


model = msfit.register_model("two-absorbers", two_absorbers, wavelength_range=(400, 720))
nm = np.arange(400.0, 701.0, 10.0)
f_mel, f_blood = np.linspace(0.05, 0.4, 200), np.linspace(0.06, 0.01, 200)
skin = 0.8 * msfit.reflectance(f_mel, f_blood, nm, model="two-absorbers") + 0.04
result = msfit.fit(skin, nm, model="two-absorbers", certify=True)
print(result.summary())
assert np.allclose(result.f_mel, f_mel, atol=1e-4)
result.plot()
