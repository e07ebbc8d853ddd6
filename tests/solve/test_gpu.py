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
import torch
from msfit.skin.models import get_model
from msfit.solve.compiled_solver import CompiledSolver
from msfit.solve.gpu_solver import GpuSolver
from msfit.solve.two_layers import constants
from tests.solve.test_solver import LOWER, NM, UPPER, random_pixels

skin = get_model(sys.argv[1]).at(NM, torch.float32)
cpu = CompiledSolver.over(skin, LOWER.float(), UPPER.float())
gpu = GpuSolver(constants(skin), cpu.table, LOWER.float(), UPPER.float())
pixels = random_pixels(int(sys.argv[2]), seed=31).float()
(owner, one), (other, two) = cpu(pixels), gpu(pixels)
assert torch.equal(owner, other)
assert bool(two.converged.all())
torch.testing.assert_close(two.point.cost.sqrt(), one.point.cost.sqrt(), rtol=1e-5, atol=3e-6)
torch.testing.assert_close(two.point.i_d, one.point.i_d, rtol=1e-3, atol=1e-4)
torch.testing.assert_close(two.point.hessian, one.point.hessian, rtol=1e-2, atol=1e-2)
"""


@pytest.mark.parametrize(("model", "count"), [("alotaibi-smith-2019", 130), ("msfit-issa-2025", 30)])
def test_kernel_ends_where_the_cpu_does(model: str, count: int) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, model, str(count)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
