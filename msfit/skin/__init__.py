"""Models of skin reflectance as functions of pigments and wavelength, with analytic derivatives.

In: pigment fractions and wavelengths [nm]. `layers` is the physics, `published` and `calibrated` its constants,
`models` finds a model by name and takes a user's own. Out: reflectance [1] and its Jacobian.
"""

# The model of `fit`, `reflectance` and everything else unless asked otherwise: it comes closest to measured skin of
# people it was not calibrated on (docs/skin-model.md).
DEFAULT_MODEL = "msfit-issa-2026"
# What the figures of the literature are stated in.
REFERENCE_MODEL = "alotaibi-smith-2019"
