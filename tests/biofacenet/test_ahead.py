"""Batches made ahead are those that would be made when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from numpy.testing import assert_array_equal

from biofacenet.data.ahead import Ahead
from biofacenet.restoration.faces import Faces, FaceSource


class _Squares:
    def __getitem__(self, step: int) -> int:
        return step**2


def test_each_step_comes_once_and_in_order() -> None:
    ahead = Ahead(_Squares(), 3, 6, workers=0)
    before = torch.random.get_rng_state()
    assert [ahead[step] for step in (3, 4, 5)] == [9, 16, 25]
    assert_array_equal(torch.random.get_rng_state(), before)
    with pytest.raises(IndexError, match="expected 6"):
        ahead[4]


@pytest.mark.slow  # processes are started
def test_worker_processes_make_the_same_batches(tmp_path: Path) -> None:
    faces = Faces(FaceSource("train", 1, 2, 32), 2, 16, folder=tmp_path)
    ahead = Ahead(faces, 4, 8, workers=2)
    for step in range(4, 8):
        made = vars(ahead[step])
        for name, values in vars(faces[step]).items():
            assert_array_equal(made[name], values, err_msg=name)
    ahead.close()
