"""Models of skin reflectance as functions of pigments and wavelength, with analytic derivatives.

In: pigment fractions and wavelengths [nm]. `layers` is the physics, `published` and `calibrated` its constants,
`models` finds a model by name and takes a user's own. Out: reflectance [1] and its Jacobian.
"""
