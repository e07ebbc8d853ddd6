"""From a Cube and options to a FitResult: everything about a fit but the arithmetic.

In: a `Cube` and the arguments of `fit`. `plan` settles what does not depend on pixels (bands, bounds, criterion,
device), `worker` screens pixels and fits them in blocks on all cores. Out: maps, assembled by one door a file
(`in_memory`, `dask_graph`, `spatial`). Which algorithm runs is chosen in `msfit.solve`.
"""
