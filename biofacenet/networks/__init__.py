"""The networks and the physics decoder: torch modules alone.

In: pictures (n, 3, y, x). `network` (as `compact` or `paper`) gives maps, light and camera; `decoder` turns these back
into a picture; `tiles` and `scales` take pictures of any size. Out: tensors. `weights` reads and writes files of them.
"""
