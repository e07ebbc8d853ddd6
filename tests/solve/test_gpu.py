"""The kernel for GPUs in Triton's interpreter, which has to be chosen before Triton is imported, against the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from dataclasses import replace
import torch
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CompiledSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.search import Table
from msfit.solve.kernels.constants import constants
from tests.solve.test_solver import LOWER, NM, UPPER, random_pixels

skin, box = get_model(sys.argv[1]).at(NM, torch.float32), (LOWER.float(), UPPER.float())
table = Table.over(skin, *box)
cpu, gpu = CompiledSolver.over(skin, table, *box), GpuSolver(constants(skin), replace(table, compiled=None), *box)
pixels = random_pixels(int(sys.argv[2]), seed=31).float()
one, two = cpu.least(pixels), gpu.least(pixels)
assert bool(two.converged.all())
torch.testing.assert_close(two.point.cost.sqrt(), one.point.cost.sqrt(), rtol=1e-5, atol=3e-6)
# the two search apart, and spectra that are no skin leave pigments and light loose
torch.testing.assert_close(two.point.i_d, one.point.i_d, rtol=2e-2, atol=1e-4)
torch.testing.assert_close(two.point.hessian, one.point.hessian, rtol=1e-2, atol=1e-2)
"""


@pytest.mark.parametrize(("model", "count"), [("alotaibi-smith-2019", 130), ("msfit-issa-2025", 30)])
def test_kernel_ends_where_the_cpu_does(model: str, count: int) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, model, str(count)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
