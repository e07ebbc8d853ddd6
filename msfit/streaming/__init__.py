"""Scenes larger than memory: from disk to disk within a budget of memory, resumed after a kill.

In: a path and the arguments of `fit`. `job` says what is to be done, `budget` in which blocks of rows, `checkpoint`
keeps what is done, `cluster` spreads the blocks over dask workers. Out: a result file, `fit`'s maps to the bit.
"""
