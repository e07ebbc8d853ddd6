"""What a user holds: spectra, channels and results.

In: arrays with their wavelengths, in memory, on disk or as coefficients. Out: `Cube` (values, wavelengths, illuminant,
mask), which reads itself row by row, and `FitResult` (maps and a `Status` for every pixel). Nothing here knows a file
format, a skin model or a solver.
"""
