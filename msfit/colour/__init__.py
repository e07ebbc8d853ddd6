"""Light, eyes and cameras: from spectra to sRGB.

In: spectra with their wavelengths [nm], and the name of a light, an observer or a camera. Out: XYZ, linear RGB, colour
differences, as differentiable functions of torch tensors. Tables ship as small text files, written by
``scripts/build_colour_tables.py`` and ``scripts/build_camera_model.py``.
"""
