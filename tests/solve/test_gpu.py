"""The kernel for GPUs, in Triton's interpreter or on a GPU, against the CPU's kernels and the reference in torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

MODELS = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km", "msfit-issa-2025", "msfit-issa-2026")
ROOT = Path(__file__).parents[2]
# TRITON_INTERPRET has to be set before Triton is imported: each case is a process of its own.
SCRIPT = """
import sys
import numpy as np
import torch
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.backends.reference import ReferenceSolver
from msfit.solve.kernels.constants import constants

model, bands, count, problem = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(bands)
skin = get_model(model).in_numpy(np.linspace(410, 700, bands))
lower, upper = torch.zeros(2), torch.tensor([parameter.wide[1] for parameter in get_model(model).parameters])
if problem == "held":
    lower[1] = upper[1] = 0.03
x = torch.from_numpy(rng.random((count, 2)) ** 1.5).float() * upper
light = torch.from_numpy(rng.uniform((0.3, 0.0), (1.2, 0.1), (count, 2))).float()
pixels = light[:, :1] * torch.from_numpy(skin.reflectance(x.double().numpy())).float() + light[:, 1:]
pixels += 0.005 * torch.from_numpy(rng.standard_normal(pixels.shape)).float()
pixels[: count // 8] = torch.from_numpy(rng.random((count // 8, bands))).float()  # no skin at all
weights = None
if problem == "weighted":
    weights = torch.from_numpy(rng.choice([0.0, 0.5, 1.0, 2.0], pixels.shape)).float()
    weights[:, :: max(1, bands // 8)] = 1.0
box = [end.double().numpy() for end in (lower, upper)]
gpu = GpuSolver(constants(skin), skin, *box, "cpu")
found = gpu(pixels, weights)
if weights is None:
    expected = CpuSolver.over(skin, *box, np.float32)(pixels.numpy()).torch()
else:
    double = get_model(model).at(np.linspace(410, 700, bands), torch.float64)
    expected = ReferenceSolver(double, lower.double(), upper.double())(pixels.double(), weights.double())
total = bands if weights is None else weights.sum(1)
rmse, least = ((end.cost.float() / total).clamp_min(0).sqrt() for end in (found, expected))
assert bool(found.converged.all())
assert bool(((found.x >= lower) & (found.x <= upper)).all())
assert float((rmse - least).max()) < 2e-6, float((rmse - least).max())
if bands > 4:  # with fewer channels than numbers many points are minima
    sharp = (least < 0.02) & (found.i_d > 0.1)
    away = ((found.x - expected.x.float()).abs() / upper)[sharp]
    assert float(away.median()) < 1e-4, float(away.median())
"""


def agree(model: str, bands: int, count: int, problem: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, model, str(bands), str(count), problem]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "bands", "problem"), [("alotaibi-smith-2019", 8, "weighted"), ("msfit-issa-2026", 12, "held")]
)
def test_kernel_ends_where_the_cpu_does(model: str, bands: int, problem: str) -> None:
    agree(model, bands, 48, problem)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("bands", [6, 31, 148])
def test_kernel_with_weights_of_every_model(model: str, bands: int) -> None:
    agree(model, bands, 192, "weighted")


# Real skin, a real face with its background, and noise, all in one launch.
REAL = """
import sys
from pathlib import Path
import numpy as np
import torch
from scipy.io import loadmat
from msfit.fitting.worker import statuses
from msfit.io.datasets.issa import load_faces
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.gpu import GpuSolver
from benchmarks.gpu.equality import sharpness

name, bands, folder, many = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
model = get_model(name)
low, high = model.wavelength_range
nm = np.linspace(max(low, 415), min(high, 700), bands)
skin = model.in_numpy(nm)
lower, upper = np.array([parameter.wide for parameter in model.parameters[:2]]).T
faces = load_faces().cube
kinds = {"skin": (np.asarray(faces.reflectance)[::7][:many], faces.wavelengths)}
if folder.is_dir():
    files = "iset_cheeks.mat", "iset_face_spatial_illuminant_reflectance.mat"
    cheeks, face = (loadmat(folder / file) for file in files)
    kinds["cheeks"] = cheeks["data"].T, cheeks["wavelength"].ravel()
    kinds["face"] = face["reflectance"].reshape(-1, 31)[::40][:many], np.arange(400.0, 701.0, 10.0)
kinds["noise"] = np.random.default_rng(0).random((2 * many, bands)), nm
parts = [np.stack([np.interp(nm, own, spectrum) for spectrum in spectra]) for spectra, own in kinds.values()]
kind = np.repeat([*kinds], [len(part) for part in parts])
pixels = np.concatenate(parts).astype(np.float32)
lit = pixels.mean(1) > 1e-12
kind, pixels = kind[lit], pixels[lit]
found = GpuSolver.over(skin, lower, upper, "cpu")(torch.from_numpy(pixels)).numpy()
expected = CpuSolver.over(skin, lower, upper, np.float32)(pixels)
gap = np.sqrt(np.maximum(found.cost, 0) / bands) - np.sqrt(np.maximum(expected.cost, 0) / bands)
assert np.abs(gap).max() < 2e-6, (kind[np.abs(gap).argmax()], np.abs(gap).max())
if bands > 4:  # with no more channels than numbers every point of a curve is a minimum
    assert found.converged.all() and expected.converged.all()
    scale = np.maximum(expected.x, 0.02 * upper)
    sharp = (sharpness(skin, pixels, expected.x, scale) > 1) & (expected.i_d > 0)
    assert sharp[kind == "skin"].mean() > 0.5
    for shade in ("i_d", "i_s"):
        assert np.abs(getattr(found, shade) - getattr(expected, shade))[sharp].max() < 1e-4, shade
    apart = (np.abs(found.x - expected.x) / scale)[sharp]
    assert apart.max() < 1e-4, (kind[sharp][apart.max(1).argmax()], apart.max())
    box = lower.astype(np.float32), upper.astype(np.float32)
    one, two = (
        statuses(end.x.T, np.where(end.i_d > 1e-6 * end.i_s, end.i_d, 0), end.converged, *box)
        for end in (found, expected)
    )
    real = kind != "noise"
    assert (one[real] == two[real]).all()
    # of noise, two minima may be equally deep
    assert np.abs(gap[one != two]).max(initial=0) < 2e-7 and (one != two).mean() < 2e-3
"""


@pytest.mark.parametrize(
    ("model", "bands", "many"),
    [
        ("msfit-issa-2025", 31, 100),
        ("msfit-issa-2026", 6, 100),
        ("alotaibi-smith-2019", 3, 100),
        # all of them, 2,000 pixels of noise among them: 40 minutes on one core
        *(pytest.param(model, bands, 1000, marks=pytest.mark.slow) for bands in (3, 6, 31, 148) for model in MODELS),
    ],
)
def test_real_skin_faces_and_noise_end_where_they_do_on_the_cpu(model: str, bands: int, many: int) -> None:
    folder = os.environ.get("MSFIT_REFERENCE_DATA", ROOT.parent / "shared" / "data")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", REAL, model, str(bands), str(folder), str(many)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CHANNELS = """
import numpy as np
import torch
import msfit
from msfit.skin.channels import through
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.kernels.constants import constants

leds = msfit.Channels.gaussian([450, 505, 545, 577, 620, 660], 20)
skin = through(get_model("msfit-issa-2025"), leds).in_numpy(leds.centres)
lower, upper, rng = np.zeros(2), np.array([0.43, 0.07]), np.random.default_rng(0)
pixels = 0.8 * skin.reflectance(rng.random((24, 2)) * upper) + 0.03 + 0.003 * rng.standard_normal((24, 6))
pixels = pixels.astype(np.float32)
expected = CpuSolver.over(skin, lower, upper, np.float32)(pixels)
found = GpuSolver(constants(skin, np.float32), skin, lower, upper, "cpu")(torch.from_numpy(pixels))
assert bool(found.converged.all())
gap = np.sqrt(found.cost.numpy() / 6) - np.sqrt(expected.cost / 6)
assert np.abs(gap).max() < 2e-6, np.abs(gap).max()
"""


def test_kernel_sees_through_channels() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", CHANNELS]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["plain", "weights and channels"])
def test_kernel_compiles_for_a_gpu_that_is_not_here(kind: str) -> None:
    """Ahead of time, for an H100: what the interpreter takes need not be what the compiler takes."""
    script = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from msfit.solve.kernels.triton_fit import _fit
both = sys.argv[1] != "plain"
constants = {"WEIGHTED": both, "MIXED": both, "BLOCK": 64, "COLUMNS": 16, "TERMS": 24}
kinds = {"first": "*i32", "length": "*i32", **dict.fromkeys(constants, "constexpr")}
kinds |= dict.fromkeys(("number", "count", "widest", "rows", "columns", "most_steps"), "i32")
kinds |= dict.fromkeys(("thickness", "low_0", "low_1", "high_0", "high_1", "tolerance", "tiny", "eps"), "fp32")
signature = {name: kinds.get(name, "*fp32") for name in _fit.arg_names}
kernel = triton.compile(ASTSource(fn=_fit, signature=signature, constexprs=constants), target=GPUTarget("cuda", 90, 32))
assert kernel.asm["cubin"]
"""
    command = [sys.executable, "-W", "ignore", "-c", script, kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
