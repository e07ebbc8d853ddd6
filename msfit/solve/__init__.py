"""The solver: pure functions of tensors (n, band), without files, options or results.

In: pixels, weights and a skin model on their bands. Globally searched (`search`), then descended (`descent`,
`kernels`), by the backend that `solver` chooses. Out: pigments, shadings, cost and curvature of each pixel;
`uncertainty` makes standard deviations of them, `certificate` a proof.
"""
