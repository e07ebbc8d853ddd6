"""Smooth refinement of triangle meshes (Loop's subdivision), and the canonical face refined by it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy import sparse

from msfit.face.canonical import VERTICES, canonical_face

# The refined surface of a face: triangles of about 2 mm.
_LEVELS = 2


class FineFace(NamedTuple):
    """The canonical topology, refined.

    Attributes
    ----------
    refine : sparse matrix (fine, 468)
        From values at landmarks to values at the vertices of the fine mesh, which near the landmarks takes the
        landmarks' own values.
    faces : int array (face, 3)
        Triangles, counter-clockwise from outside.
    uv : float64 array (fine, 2)
        Texture coordinates.
    spread : sparse matrix (fine, coarse)
        From values at the first `coarse` vertices, those of the mesh before its last refinement, to all.
    """

    refine: sparse.csr_matrix
    faces: np.ndarray
    uv: np.ndarray
    spread: sparse.csr_matrix


@functools.cache
def fine_face() -> FineFace:
    """The canonical face, refined twice."""
    _, uv, faces, _ = canonical_face()
    refine = step = sparse.identity(VERTICES, format="csr")
    for _ in range(_LEVELS):
        step, faces = loop_subdivision(faces, refine.shape[0])
        refine = (step @ refine).tocsr()
    # Loop's surface runs inside its control points; one step of Richardson's iteration moves these outwards by as much
    control = 2 * sparse.identity(VERTICES, format="csr") - refine[:VERTICES]
    return FineFace((refine @ control).tocsr(), faces, refine @ uv, step.tocsr())


def loop_subdivision(faces: np.ndarray, count: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """One step of Loop's subdivision as a matrix (new, old) and the new faces (4 f, 3); open rims stay open curves.

    Source: C. Loop, "Smooth Subdivision Surfaces Based on Triangles", University of Utah, 1987.
    """
    halves = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    edges, edge_of = np.unique(np.sort(halves, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    uses = np.bincount(edge_of, minlength=len(edges))
    index = np.arange(len(edges))
    inner = uses == 2
    on_rim = np.zeros(count, bool)
    on_rim[edges[~inner]] = True

    ends = np.where(inner, 3 / 8, 1 / 2)
    odd = sparse.coo_matrix((np.repeat(ends, 2), (np.repeat(index, 2), edges.reshape(-1))), (len(edges), count))
    across = inner[edge_of]
    odd = odd + sparse.coo_matrix(
        (np.full(across.sum(), 1 / 8), (edge_of[across], opposite[across])), (len(edges), count)
    )

    both = np.concatenate([edges, edges[:, ::-1]])
    rim_edge = np.tile(~inner, 2)
    neighbour = np.where(on_rim[both[:, 0]], rim_edge, True)
    rows, columns = both[neighbour].T
    valence = np.maximum(np.bincount(rows, minlength=count), 1)
    beta = np.where(on_rim, 1 / 8, (5 / 8 - (3 / 8 + np.cos(2 * np.pi / valence) / 4) ** 2) / valence)
    even = sparse.coo_matrix((beta[rows], (rows, columns)), (count, count)) + sparse.diags(1 - beta * valence)

    first, second, third = (count + edge_of).reshape(3, -1)
    a, b, c = faces.T
    refined = [(a, first, third), (first, b, second), (third, second, c), (first, second, third)]
    return sparse.vstack([even, odd]).tocsr(), np.concatenate([np.stack(corner, axis=1) for corner in refined])
