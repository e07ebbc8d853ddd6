"""The same minimum on different hardware and data: one file a backend.

In: pixels (n, band), or their coefficients. `cpu` drives the numba kernels, `gpu` the Triton kernel, `low_rank` fits
scenes that are kept as coefficients. Out: a descent for each pixel. `msfit.solve.solver` chooses among `cpu`, `gpu` and
`reference`; `msfit.fitting.low_rank` takes `low_rank` where a scene comes as coefficients of enough bands.
"""
