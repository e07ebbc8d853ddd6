"""Rays against triangles, by Intel's Embree."""

from __future__ import annotations

from typing import Any

import numpy as np

from msfit.io.extras import need


class Tracer:
    """Triangles (face, 3, 3) ready to be hit by rays, given as origins and unit directions (n, 3) [cm]."""

    def __init__(self, triangles: np.ndarray) -> None:
        scenes, meshes = need("embreex.rtcore_scene", "face"), need("embreex.mesh_construction", "face")
        self._scene: Any = scenes.EmbreeScene()
        # the scene does not hold its meshes: they live as long as this does
        self._mesh = meshes.TriangleMesh(self._scene, np.ascontiguousarray(triangles, np.float32))

    def first(self, origin: np.ndarray, direction: np.ndarray) -> dict[str, np.ndarray]:
        """First hit of each ray: `face` (-1 where nothing is hit), barycentric `u` and `v`, `distance`."""
        hits = self._scene.run(
            np.ascontiguousarray(origin, np.float32), np.ascontiguousarray(direction, np.float32), output=1
        )
        return {"face": hits["primID"], "u": hits["u"], "v": hits["v"], "distance": hits["tfar"]}

    def blocked(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Bool (n,): something stands in the way of a ray."""
        rays = np.ascontiguousarray(origin, np.float32), np.ascontiguousarray(direction, np.float32)
        return np.asarray(self._scene.run(*rays, query="OCCLUDED") >= 0)
