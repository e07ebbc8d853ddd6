"""Photographs in: pixels that can be trusted, the face in them and its skin.

In: a path. `reading` undoes orientation, profile and transfer curve, `face` finds faces, `skin` the pixels of skin.
Out: linear RGB, boxes and masks.
"""
