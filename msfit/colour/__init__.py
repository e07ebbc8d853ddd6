"""Light, eyes and cameras: CIE illuminants, the standard observer, camera models and the way from spectra to sRGB.

Tables ship as small text files, written by ``scripts/build_colour_tables.py`` and ``scripts/build_camera_model.py``.
"""
