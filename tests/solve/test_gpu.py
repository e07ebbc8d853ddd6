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
from msfit.solve.backends.cpu import CompiledSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.kernels.constants import constants
from tests.solve.test_solver import LOWER, NM, UPPER, random_pixels

skin, box = get_model(sys.argv[1]).at(NM, torch.float32), (LOWER.float(), UPPER.float())
cpu, gpu = CompiledSolver.over(skin, *box), GpuSolver(constants(skin), skin, *box)
pixels = random_pixels(int(sys.argv[2]), seed=31).float()
one, two = cpu.least(pixels), gpu.least(pixels)
assert bool(two.converged.all())
torch.testing.assert_close(two.cost.sqrt(), one.cost.sqrt(), rtol=1e-5, atol=3e-6)
# the two search apart, and spectra that are no skin leave pigments and light loose
torch.testing.assert_close(two.i_d, one.i_d, rtol=2e-2, atol=1e-4)
"""


@pytest.mark.parametrize(("model", "count"), [("alotaibi-smith-2019", 130), ("msfit-issa-2025", 30)])
def test_kernel_ends_where_the_cpu_does(model: str, count: int) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, model, str(count)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
