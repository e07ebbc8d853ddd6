"""Learned completion finds the rest of a face that is a draw of what was learned."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("embreex", reason="embreex is not installed: pip install 'msfit[face]'")

from benchmarks.frontal_completion import SIZE, Learned
from msfit.face.texture import texels


def test_hidden_texels_follow_from_the_seen_ones() -> None:
    on_face = texels(SIZE).texel
    rng = np.random.default_rng(0)
    smooth = np.sin(np.outer([1, 2, 3], np.linspace(0, 3, on_face.size)))
    axes = 0.3 * np.concatenate([smooth, rng.permuted(smooth, axis=0)], axis=1)
    learned = Learned(np.log(np.full(2 * on_face.size, 0.05)), axes, 1e-6)
    sheet = np.full((SIZE * SIZE, 2), np.nan)
    sheet[on_face] = np.exp(learned.mean + [0.8, -1.2, 0.5] @ axes).reshape(2, -1).T
    truth = sheet.reshape(SIZE, SIZE, 2)
    weight = np.where(np.isfinite(truth[..., 0]), 1.0, 0.0)
    weight[:, SIZE // 2 :] = 0
    made = learned.completed(truth, weight)
    inner = np.isfinite(truth[..., 0])
    assert np.abs(made - truth)[inner].max() < 1e-4
