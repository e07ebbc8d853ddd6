"""All pixels of a picture fitted together, under total variation and sparse gloss.

In: a picture of spectra. `proximal_newton` replaces each pixel's objective by a quadratic (`pixels`) and solves the
convex problem that is left (`convex`, ADMM with `total_variation`). Out: maps that lower the penalised objective.
"""
