"""MATLAB files of versions 4 to 7.3, and the layouts in them: ISET scenes, reflectance with wavelengths.

In: a path. `mat4`, `mat5` and `mat73` read variables, each checked before it is believed; `variables` says which of
them are spectra and `iset` what ISETCam's structures mean. Out: a `Scan`, from which `msfit.load` makes a Cube.
"""
