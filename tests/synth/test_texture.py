"""The atlas of the face and the pigment on it."""

from __future__ import annotations

import numpy as np
import pytest

from msfit.synth.atlas import SHEET_CM, atlas, sample
from msfit.synth.texture import _freckles, _spots, random_texture


@pytest.fixture(scope="module")
def sheet():
    return atlas(96)


def test_sites_share_the_face(sheet):
    np.testing.assert_allclose(sheet.sites.sum(axis=0), 1, atol=1e-5)
    cheek, forehead, nose, chin = sheet.sites
    x, y = sheet.place[..., 0], sheet.place[..., 1]
    assert y[forehead > 0.9].min() > y[chin > 0.9].max()
    assert abs(x[nose > 0.9].mean()) < 0.1
    assert np.abs(x[cheek > 0.9]).min() > 1


def test_regions_lie_where_they_belong(sheet):
    y = sheet.place[..., 1]
    middle = {
        name: (y * getattr(sheet, name)).sum() / getattr(sheet, name).sum() for name in ("brows", "nostrils", "lips")
    }
    assert middle["brows"] > 3 > middle["nostrils"] > middle["lips"] > middle["nostrils"] - 4
    assert (sheet.beard * sheet.lips).max() < 0.35
    lips_cm2 = sheet.lips.sum() * (SHEET_CM / sheet.size) ** 2
    assert 4 < lips_cm2 < 14


def test_sampling_reads_texel_centres_and_interpolates_between():
    ramp = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    centres = np.array([[0.125, 0.125], [0.625, 0.375], [0.5, 0.5]])
    np.testing.assert_allclose(sample(ramp, centres)[:, 0], [0, 6, 7.5])


def test_a_texture_comes_from_its_seed():
    first, again, other = (random_texture(np.random.default_rng(seed), 64, 30.0) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.stack(), again.stack())
    assert not np.array_equal(first.melanin, other.melanin)
    assert np.isfinite(first.stack()).all()
    assert ((first.hair >= 0) & (first.hair < 1) & (first.openness > 0) & (first.openness <= 1)).all()


def test_lips_hold_blood_and_brows_hair(sheet):
    textures = [random_texture(np.random.default_rng(seed), 96, 40.0) for seed in range(5)]
    cheeks = (sheet.sites[0] > 0.9) & (sheet.inside > 0.9)
    for one in textures:
        assert one.blood[sheet.lips > 0.8].mean() > one.blood[cheeks].mean() + 0.2
        assert one.hair[sheet.brows > 0.8].mean() > 0.3


def test_mottle_leaves_the_measured_mean_nearly_unchanged(sheet):
    """Cheeks and forehead stand for the measured sites: what is added there is small on average."""
    bare = (sheet.inside > 0.9) & (sheet.sites[2] < 0.5) & (sheet.lips < 0.05)
    added = [random_texture(np.random.default_rng(seed), 96, 30.0) for seed in range(20)]
    assert abs(np.mean([one.melanin[bare].mean() for one in added])) < 0.03
    assert abs(np.mean([one.blood[bare].mean() for one in added])) < 0.04


def test_fair_skin_has_freckles_and_dark_skin_has_none():
    fair, dark = ([_freckles(np.random.default_rng(seed), atlas(96), share) for seed in range(12)] for share in (1, 0))
    assert all(one.max() == 0 for one in dark)
    assert 2 <= sum(one.max() > 0.05 for one in fair) <= 10


def test_beards_can_be_forbidden(sheet):
    jaw = (sheet.beard > 0.9) & (sheet.inside > 0.9)
    with_beard = [random_texture(np.random.default_rng(seed), 96, 30.0).hair[jaw].mean() for seed in range(12)]
    without = [
        random_texture(np.random.default_rng(seed), 96, 30.0, beard=False).hair[jaw].mean() for seed in range(12)
    ]
    assert max(with_beard) > 0.2
    assert max(without) < 0.05


def test_a_spot_keeps_its_area_on_a_coarse_sheet():
    totals = []
    for size in (96, 384):
        sheet = atlas(size)
        middle = np.array([size // 2 * size + size // 2])
        totals.append(_spots(sheet, middle, 0.1, np.ones(1)).sum() * (SHEET_CM / size) ** 2)
    assert totals[0] == pytest.approx(totals[1], rel=0.02)
    assert totals[0] == pytest.approx(2 * np.pi * 0.1**2, rel=0.02)
