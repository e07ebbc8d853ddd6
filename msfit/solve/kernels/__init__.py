"""Compiled code: global search, polynomial refinement and descent for numba and Triton.

In: arrays of float32 and the constants of a skin model (`skin.layers.Constants`). Out: arrays. Kernels know nothing
of models, options or results; each is compared in tests with the reference in torch, of which it is a faster copy.
"""
