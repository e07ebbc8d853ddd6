"""What the network is trained on and examined with.

In: the synthetic stream of `msfit.synth`, folders of photographs, or the HDF5 pairs of Shu et al. 2017. Out: batches of
pictures (n, 3, y, x) in linear RGB with the maps that are known of them; `augment` makes pictures worse.
"""
