"""Rays, shading and softening on surfaces whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from msfit.face.rays import Tracer
from msfit.synth import light as lighting
from msfit.synth.buffers import Buffers, directions, solid_angle
from msfit.synth.light import Finish, Light, random_light, shade, soften

COUNT = 256


def plane(normals: np.ndarray, visible: np.ndarray | None = None) -> Buffers:
    """Points with given normals, seen from the front, in the middle of an empty world."""
    n = len(normals)
    seen = np.ones((n, COUNT), bool) if visible is None else visible
    return Buffers(
        size=int(np.ceil(n**0.5)),
        pixel=np.arange(n, dtype=np.int32),
        region=np.ones(n, np.uint8),
        normal=normals.astype(np.float32),
        position=np.zeros((n, 3), np.float32),
        uv=np.zeros((n, 2), np.float32),
        gradient=np.zeros((n, 2, 3), np.float32),
        visible=np.packbits(seen & (normals @ directions(COUNT).T > 0), axis=1),
        pixel_cm=0.1,
        long_hair=False,
    )


def matt(n: int) -> Finish:
    return Finish(np.full(n, 0.3, np.float32), np.ones(n, np.float32))


def test_directions_are_spread_evenly():
    ways = directions(4096).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=1), 1, atol=1e-6)
    assert ways[:, 2].min() > -0.351
    # the solid angle of the cap, and the cosine integral over the hemisphere: pi
    assert solid_angle(4096) * 4096 == pytest.approx(2 * np.pi * 1.35)
    assert (np.clip(ways[:, 2], 0, None) * solid_angle(4096)).sum() == pytest.approx(np.pi, rel=1e-3)


def test_uniform_light_gives_a_facing_card_its_level():
    normals = np.array([[0.0, 0.0, 1.0]])
    diffuse, _ = shade(plane(normals), normals.astype(np.float32), Light(np.ones(COUNT, np.float32), 1.0), matt(1))
    assert diffuse[0] == pytest.approx(1.0, rel=0.01)


def test_what_is_hidden_gets_no_light():
    normals = np.array([[0.0, 0.0, 1.0]])
    buffers = plane(normals, np.zeros((1, COUNT), bool))
    diffuse, specular = shade(buffers, buffers.normal, Light(np.ones(COUNT, np.float32), 1.0), matt(1))
    assert diffuse[0] == 0
    assert specular[0] == 0


def test_specular_is_the_ggx_integral():
    """Against the textbook's formula, written out with half vectors in float64."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(20, 3)) * 0.3 + [0, 0, 1]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = random_light(rng, COUNT)
    alpha = 0.3
    buffers = plane(normals)
    _, found = shade(buffers, buffers.normal, light, matt(20))
    ways, view = directions(COUNT).astype(np.float64), np.array([0.0, 0.0, 1.0])
    base = (0.4 / 2.4) ** 2
    for normal, value in zip(normals, found, strict=True):
        total = 0.0
        for way, radiance in zip(ways, light.radiance, strict=True):
            cos_l, cos_v = way @ normal, view @ normal
            if cos_l <= 0:
                continue
            half = (way + view) / np.linalg.norm(way + view)
            d = alpha**2 / (np.pi * ((half @ normal) ** 2 * (alpha**2 - 1) + 1) ** 2)

            def lam(cosine: float) -> float:
                return (np.sqrt(1 + alpha**2 * (1 / cosine**2 - 1)) - 1) / 2

            g = 1 / (1 + lam(cos_l) + lam(cos_v))
            f = base + (1 - base) * (1 - half @ view) ** 5
            total += radiance * d * g * f / (4 * cos_l * cos_v) * cos_l * solid_angle(COUNT)
        assert value == pytest.approx(total, rel=2e-3)


def test_random_lights_keep_their_level():
    ways = directions(COUNT)
    for seed in range(20):
        light = random_light(np.random.default_rng(seed), COUNT)
        white = np.clip(ways @ ways.T, 0, None) @ light.radiance * solid_angle(COUNT) / np.pi
        assert white.max() == pytest.approx(light.level, rel=1e-5)
        assert 0.75 <= light.level <= 1.6
        assert (light.radiance > 0).all()


def test_softening_keeps_a_constant_and_does_not_leak():
    buffers = plane(np.tile([0.0, 0.0, 1.0], (256, 1)))
    rows = np.arange(128)
    values = np.where(np.arange(256) < 128, 0.7, 0.0).astype(np.float32)
    softened = soften(values, buffers, rows, 0.3)
    np.testing.assert_allclose(softened[:128], 0.7, atol=1e-5)
    np.testing.assert_array_equal(softened[128:], 0)


def test_rays_hit_and_are_blocked():
    tracer = Tracer(np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]]], float))
    origin, down = np.array([[0.2, 0.2, 1.0], [0.9, 0.9, 1.0]]), np.tile([0.0, 0.0, -1.0], (2, 1))
    found = tracer.first(origin, down)
    np.testing.assert_array_equal(found["face"], [0, -1])
    assert found["distance"][0] == pytest.approx(1)
    np.testing.assert_array_equal(tracer.blocked(origin, down), [True, False])


def test_the_index_of_refraction_is_that_of_skin():
    assert lighting.REFRACTIVE_INDEX == 1.4
