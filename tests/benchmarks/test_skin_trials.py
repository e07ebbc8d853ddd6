"""Trials of other skin models: what they merge, and that planted effects of laboratories are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.calibration import Calibration, Faces, Weights
from benchmarks.skin_trials import CHANGES, Estimate, estimate, shifts, trial, widths


@pytest.fixture(scope="module")
def made() -> tuple[Faces, Estimate, np.ndarray]:
    """Spectra that the shipped constants make, two laboratories' worth of them."""
    faces = Faces.load()
    few = np.concatenate(
        [np.flatnonzero(faces.archive.origin == name)[:40] for name in np.unique(faces.archive.origin)[:2]]
    )
    found = estimate(faces, trial("bandwidth-10"), few[:20], start=None)
    rng = np.random.default_rng(4)
    numbers = np.stack((rng.uniform(0.03, 0.2, few.size), rng.uniform(0.003, 0.03, few.size)), 1)
    skin = found.form.of(found.form.values(found.best.z))
    spectra = faces.spectra.clone()
    spectra[few] = 0.9 * skin.reflectance(torch.from_numpy(numbers)) + 0.04
    return replace(faces, spectra=spectra), found, few


def test_changes_add_up() -> None:
    several = trial("bandwidth-10, haze-0.02, offsets, shift, level-x10, corner-0.02, cosines-9")
    assert several.held == {"bandwidth": 10.0, "haze": 0.02}
    assert several.effects == ("gain", "offset", "shift")
    assert several.weights == Weights(level=1.0, corner=0.02)
    assert several.cosines == 9
    assert several.gloss == 0.02
    assert trial("base") == trial("base, base")
    for name in CHANGES:
        trial(name)


def test_laboratories_without_effects_keep_their_spectra(made: tuple[Faces, Estimate, np.ndarray]) -> None:
    faces, found, few = made
    assert torch.equal(found.corrected(faces, few), faces.spectra[few])


def test_a_planted_shift_is_found_and_taken_back(made: tuple[Faces, Estimate, np.ndarray]) -> None:
    faces, found, few = made
    first, second = np.unique(faces.archive.origin[few])
    moved = replace(found, shift={str(first): -1.5}).corrected(faces, few)
    planted = replace(faces, spectra=faces.spectra.index_put((torch.from_numpy(few),), moved))
    seen = shifts(found, planted, few)
    assert seen[str(first)] == pytest.approx(1.5, abs=0.2)
    assert seen[str(second)] == pytest.approx(0.0, abs=0.2)
    back = replace(found, shift=seen).corrected(planted, few)
    inner = slice(2, -2)
    assert float((back - faces.spectra[few])[:, inner].abs().max()) < 2e-3


def test_the_width_of_a_laboratory_is_found(made: tuple[Faces, Estimate, np.ndarray]) -> None:
    faces, found, few = made
    assert isinstance(found.best, Calibration)
    for seen in widths(found, faces, few).values():
        assert seen == pytest.approx(10.0, abs=1.5)
