"""Proof that a minimum is the global one: a lower bound of the objective over the whole box of pigments.

In: pixels, weights and the ends of their descents. `patches` bounds the skin model on small boxes by polynomials with
remainders; `numba_bound` and `torch_bound` search the box by branch and bound. Out: the gap that is left.
"""
