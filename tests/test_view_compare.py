"""Two visits: what was changed on the face is found, and nothing else beyond the stated uncertainty."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

import msfit
from msfit.cli import main
from msfit.errors import InputError
from msfit.view.compare import change

pytest.importorskip("skimage", reason="scikit-image is not installed: pip install 'msfit[mask]'")
NM = np.arange(400.0, 701.0, 10.0)
SHAPE = (64, 72)
CHEEK = (slice(34, 46), slice(12, 26))
NOISE = 0.002


def visit(seed: int, more: float = 0.0, by: tuple[float, float] = (0, 0)) -> msfit.FitResult:
    """One face with moles and shading; on a later visit with more melanin on one cheek, elsewhere in the picture."""
    own = np.random.default_rng(1)
    f_mel = 0.12 + 0.04 * gaussian_filter(own.standard_normal(SHAPE), 6) * 10
    f_blood = 0.03 + 0.005 * gaussian_filter(own.standard_normal(SHAPE), 6) * 10
    i_d = 0.8 + 0.15 * gaussian_filter(own.standard_normal(SHAPE), 2) * 5
    f_mel[CHEEK] += more
    f_mel, f_blood, i_d = (shift(values, by, order=3, mode="nearest") for values in (f_mel, f_blood, i_d))
    skin = i_d[..., None] * msfit.reflectance(f_mel.clip(0.01, 0.4), f_blood.clip(0.005, 0.06), NM) + 0.03
    noise = NOISE * np.random.default_rng(seed).standard_normal(skin.shape)
    return msfit.fit(skin + noise, NM, std=True, noise=NOISE)


@pytest.fixture(scope="module")
def first() -> msfit.FitResult:
    return visit(2)


@pytest.mark.parametrize("by", [(0.0, 0.0), (3.0, -2.0)])
def test_a_change_on_one_cheek_is_found_and_nothing_else(first: msfit.FitResult, by: tuple[float, float]) -> None:
    found = change(first, visit(3, more=0.02, by=by))
    np.testing.assert_allclose(found.shift, [-by[0], -by[1]], atol=0.051)
    difference, std = found.maps["change_f_mel"], found.maps["std_change_f_mel"]
    cheek = np.zeros(SHAPE, bool)
    cheek[CHEEK] = True
    known = np.isfinite(difference)
    inner = np.zeros(SHAPE, bool)
    inner[CHEEK[0].start + 2 : CHEEK[0].stop - 2, CHEEK[1].start + 2 : CHEEK[1].stop - 2] = True
    assert np.mean(difference[inner]) == pytest.approx(
        0.02, abs=3 * np.sqrt(np.mean(std[inner] ** 2) / inner.sum()) + 5e-4
    )
    other = known & ~cheek & ~(np.abs(shift(cheek.astype(float), by, order=1)) > 0)
    assert abs(np.mean(difference[other])) < 1e-3
    beyond = np.abs(difference[other]) > 3 * std[other]
    assert beyond.mean() < (0.006 if by == (0.0, 0.0) else 0.05)  # 0.0027 of normal differences; edges, between pixels
    assert np.abs(found.maps["change_f_blood"][other] / found.maps["std_change_f_blood"][other]).mean() < 1


def test_the_page_has_maps_of_the_change(first: msfit.FitResult, tmp_path: Path) -> None:
    first.save(tmp_path / "a.h5")
    visit(3, more=0.02).save(tmp_path / "b.h5")
    assert main(["view", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), "--export", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert [item["name"] for item in data["maps"] if "change" in item["name"]][:2] == ["change_f_mel", "change_f_blood"]
    assert data["title"] == "a.h5, b.h5"
    assert "was moved by" in data["summary"]


def test_refusals(first: msfit.FitResult) -> None:
    cut = msfit.fit(first.spectra()[:10], NM)
    with pytest.raises(InputError, match=r"later: found pixels \(10, 72\)"):
        first.view(second=cut)
    with pytest.raises(InputError, match="later: found the model"):
        first.view(second=msfit.fit(first.spectra(), NM, model="alotaibi-smith-2019"))


def test_a_face_that_has_turned_and_come_nearer_is_laid_on_by_its_mesh() -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed: pip install 'msfit[face]'")
    pytest.importorskip("embreex", reason="tracing heads needs embreex")
    from scipy.ndimage import affine_transform

    from msfit.synth import make_scene

    scene = make_scene(4, size=160, mode="model", split="validation", noise=False)
    nm, spectra, mask = scene.cube.wavelengths, np.asarray(scene.cube.reflectance), np.asarray(scene.cube.mask)
    angle, nearer, middle = np.deg2rad(6), 1.08, np.array([79.5, 79.5])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / nearer
    offset = middle - turn @ (middle + np.array([3, -2]))
    turned = np.stack(
        [affine_transform(band, turn, offset, order=3, mode="nearest") for band in np.moveaxis(spectra, 2, 0)], -1
    )
    seen = affine_transform(mask.astype(float), turn, offset, order=1) > 0.99
    first, later = msfit.fit(spectra, nm, mask=mask), msfit.fit(turned, nm, mask=seen)
    found = change(first, later)
    assert found.by_mesh
    assert "by the mesh of the face" in str(found)
    difference = found.maps["change_f_mel"]
    assert np.isfinite(difference).sum() > 0.5 * mask.sum()
    unmoved = np.abs(np.asarray(later.f_mel, float) - np.asarray(first.f_mel, float))
    assert np.nanmedian(np.abs(difference)) < 0.4 * np.nanmedian(unmoved)
    cut = msfit.fit(turned[:, 8:], nm, mask=seen[:, 8:])  # another size
    other = change(first, cut).maps["change_f_mel"]
    assert other.shape == first.shape
    both = np.isfinite(other) & np.isfinite(difference)
    assert both.sum() > 0.9 * np.isfinite(difference).sum()
    assert np.median(np.abs(other[both])) < 0.5 * np.nanmedian(unmoved)
