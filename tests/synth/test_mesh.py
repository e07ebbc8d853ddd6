"""The head's mesh, its subdivision and its shapes."""

from __future__ import annotations

import numpy as np
import pytest

from msfit.face.subdivision import loop_subdivision
from msfit.synth.mesh import FACE_VERTICES, template
from msfit.synth.shape import EXPRESSION, IDENTITY, random_shape, rotation


def test_subdivision_agrees_with_trimesh_on_a_closed_mesh():
    trimesh = pytest.importorskip("trimesh")
    solid = trimesh.creation.icosahedron()
    matrix, faces = loop_subdivision(solid.faces, len(solid.vertices))
    expected, _ = trimesh.remesh.subdivide_loop(solid.vertices, solid.faces, iterations=1)
    found = matrix @ solid.vertices
    assert len(faces) == 4 * len(solid.faces)
    apart = np.linalg.norm(found[:, None] - expected[None], axis=2)
    assert apart.min(axis=1).max() < 1e-12


def test_subdivision_keeps_a_flat_open_patch_flat_and_its_rows_sum_to_one():
    base = template(0)
    faces = base.faces[base.part != 1]
    matrix, _ = loop_subdivision(faces, FACE_VERTICES)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1, atol=1e-12)
    flat = np.column_stack([base.uv[:FACE_VERTICES], np.zeros(FACE_VERTICES)])
    assert np.abs((matrix @ flat)[:, 2]).max() == 0


def test_the_head_is_symmetric_and_its_triangles_face_outwards():
    base = template()
    np.testing.assert_allclose(base.vertices[base.mirror] * [-1, 1, 1], base.vertices, atol=1e-9)
    fine = base.refine @ base.vertices
    a, b, c = fine[base.faces].transpose(1, 0, 2)
    outward = np.einsum("fc,fc->f", np.cross(b - a, c - a), (a + b + c) / 3 - [0, 1, -4])
    assert (outward[base.part == 0] > 0).mean() > 0.97
    assert len(base.rim) == 36
    assert set(np.unique(base.part)) == {0, 1, 2}


def test_shapes_differ_between_seeds_and_not_for_one():
    first, again, other = (random_shape(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.control, again.control)
    apart = np.linalg.norm(first.control - other.control, axis=1)[:FACE_VERTICES]
    assert 0.1 < np.median(apart) < 3.0


def test_without_spread_the_face_is_symmetric_and_its_lids_close():
    base = template()
    shut = random_shape(np.random.default_rng(0), spread=0, eyes_open=0.0).control
    np.testing.assert_allclose(shut[base.mirror] * [-1, 1, 1], shut, atol=1e-9)
    upper, lower = shut[159], shut[145]
    assert np.linalg.norm(upper - lower) < 0.05
    wide = random_shape(np.random.default_rng(0), spread=0, eyes_open=1.5).control
    assert wide[159, 1] - wide[145, 1] > base.vertices[159, 1] - base.vertices[145, 1]


def test_every_mode_names_vertices_of_the_face():
    for modes in (IDENTITY, EXPRESSION):
        for name, mode in modes.items():
            assert mode.radius > 0, name
            assert max(mode.landmarks) < len(template().vertices), name


def test_rotation_turns_without_stretching():
    turn = rotation(0.3, -0.1, 0.2)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert (rotation(0.3, 0, 0) @ [0, 0, 1])[0] > 0
