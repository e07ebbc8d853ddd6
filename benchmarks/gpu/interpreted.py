"""The kernel for GPUs beside the CPU's, without a GPU: in Triton's interpreter.

Usage: python -m benchmarks.gpu.interpreted [--only WORD ...] [--few] [--out DIR]

Faces of the archive (ISSA), the 71 cheeks and the face of ISET where they are at hand ($MSFIT_REFERENCE_DATA), and
uniform noise, of which 2,000 pixels: every skin model at 3, 6, 31 and 148 bands; then weights, missing bands, held
pigments, narrow bounds, bounds of the shadings, priors, channels of a camera, and the model evaluated channel by
channel, as a GPU does it. A line a case and kind of pixel, and DIR/gpu_interpreted.json.

--few    some of them with few pixels, as the default tests do it
--only   cases in whose name one of these words stands, as "31 bands"
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import msfit
from benchmarks import record
from benchmarks.gpu.equality import differences
from benchmarks.gpu.interpreter import hasten
from msfit.io.datasets.issa import load_faces
from msfit.skin.channels import through
from msfit.skin.models import get_model
from msfit.solve.backends.cpu import CpuSolver
from msfit.solve.backends.gpu import GpuSolver
from msfit.solve.problem import NON_NEGATIVE, Component, Prior
from msfit.solve.solver import PigmentSolver

MODELS = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km", "msfit-issa-2025", "msfit-issa-2026")
BANDS = (3, 6, 31, 148)
KINDS = ("archive", "cheeks", "face", "noise")
_SPAN = (415.0, 700.0)  # of the faces' wavelengths and of every model
#: Of the shadings, in the cases that have them: in the way of many pixels.
BOUNDS = ((0.3, 0.9), (0.01, 0.05))
NO_GLOSS = ((0.0, float("inf")), (0.0, 0.0))
# Of priors: means and standard deviations of f_mel, f_blood, i_d, i_s; and the variance of a residual.
_MIDDLE, _SPREAD, _VARIANCE = np.array([0.1, 0.03, 0.9, 0.03]), np.array([0.08, 0.03, 0.3, 0.03]), 4e-4


@dataclass(frozen=True)
class Case:
    """A skin model on so many bands (or channels) and what is asked of the fit; `many` pixels of a kind at most.

    `kinds` of pixels; of noise four times as many. `width` [nm] of channels.
    """

    model: str
    bands: int
    problem: str = "plain"
    many: int = 500
    kinds: tuple[str, ...] = KINDS
    width: float = 20.0

    @property
    def determined(self) -> bool:
        """Whether there are as many numbers measured (and known before) as are sought."""
        return self.bands > 3 or self.problem in ("a prior", "no gloss")

    @property
    def name(self) -> str:
        """As it is called in the record."""
        return f"{self.model}, {self.bands} {'channels' if self.problem == 'channels' else 'bands'}, {self.problem}"


def cases(few: bool = False) -> list[Case]:
    """All of them, or some with few pixels."""
    if few:
        return [
            Case("msfit-issa-2026", 31, many=6),
            # noise has more local minima and takes more steps: once is enough
            Case("jacques-km", 6, "weights", 16, KINDS[:1]),
            Case("msfit-issa-2025", 6, "channels", 16, KINDS[:1], width=4.0),
        ]
    plain = [Case(model, bands) for bands in BANDS for model in MODELS]
    problems = ("weights", "missing bands", "held melanin", "held blood", "narrow bounds", "bounded shadings")
    priors = ("a prior", "a prior a pixel", "a mixture of priors")
    others = [
        Case(model, bands, problem, 100)
        for problem in (*problems, *priors)
        for bands in (6, 31)
        for model in MODELS[::2]
    ]
    others += [Case(model, 3, problem, 100) for problem in ("a prior", "no gloss") for model in MODELS[::2]]
    through_lamps = [Case(model, count, "channels", 100) for count in (3, 6, 16) for model in MODELS]
    one_by_one = [Case(model, 6, "one by one", 100) for model in MODELS]  # as a GPU evaluates the model
    return [*plain, *others, *through_lamps, *one_by_one, Case("msfit-issa-2026", 148, "weights", 100)]


def compare(case: Case) -> dict[str, dict[str, Any]]:
    """How far the kernel ends from the CPU, by kind of pixel."""
    model = get_model(case.model)
    nm = np.linspace(*_SPAN, case.bands)
    skin = model.in_numpy(nm)
    kinds = {kind: _resampled(spectra, own, nm) for kind, (spectra, own) in _measured(case).items()}
    if case.problem == "channels":
        lamps = msfit.Channels.gaussian(np.linspace(450, 660, case.bands).tolist(), case.width)
        skin = through(model, lamps).in_numpy(lamps.centres)
        kinds = {kind: _through(lamps, spectra, own) for kind, (spectra, own) in _measured(case).items()}
    assert skin is not None
    if "noise" in case.kinds:
        kinds["noise"] = np.random.default_rng(0).random((4 * case.many, case.bands), np.float32)
    kinds = {kind: pixels[pixels.mean(1) > 1e-12] for kind, pixels in kinds.items()}
    lower, upper = _box(case)
    pixels = np.concatenate(list(kinds.values()))
    weights = _weights(case, pixels.shape)
    if case.problem == "missing bands":  # `fit` puts zeros there
        assert weights is not None
        pixels = np.where(weights > 0, pixels, np.float32(0))
    shadings = {"bounded shadings": BOUNDS, "no gloss": NO_GLOSS}.get(case.problem, NON_NEGATIVE)
    gpu = GpuSolver.over(skin, lower, upper, "cpu", shadings)
    cpu = CpuSolver.over(skin, lower, upper, np.float32, shadings)
    assert gpu is not None
    assert cpu is not None
    if case.problem == "one by one":
        gpu.wide = 1
    sent = None if weights is None else torch.from_numpy(weights)
    prior = _prior(len(pixels) if case.problem == "a prior a pixel" else 1) if "prior" in case.problem else None
    if case.problem == "a mixture of priors":
        solver = PigmentSolver(skin, lower, upper, dtype=np.float32)
        components = [Component(_prior(1, seed), np.array([2.0 * seed])) for seed in range(3)]
        expected = solver.posterior(pixels, weights, components, _VARIANCE)[0]
        solver.kernel, prior = gpu, None
        found = solver.posterior(torch.from_numpy(pixels), sent, components, _VARIANCE)[0].numpy()
    else:
        found = gpu(torch.from_numpy(pixels), sent, prior and prior.to(torch.float32, "cpu")).numpy()
        expected = cpu(pixels, weights, prior)
    apart, first = {}, 0
    for kind, some in kinds.items():
        part = slice(first, first := first + len(some))
        apart[kind] = differences(
            found.take(part),
            expected.take(part),
            skin,
            pixels[part],
            (lower, upper),
            None if weights is None else weights[part],
            shadings,
            None if prior is None else prior.take(part),
        )
    return apart


def _box(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The pigments' bounds."""
    parameters = get_model(case.model).parameters[:2]
    lower, upper = np.array([one.paper if case.problem == "narrow bounds" else one.wide for one in parameters]).T
    for name, axis, value in (("held melanin", 0, 0.1), ("held blood", 1, 0.03)):
        if case.problem == name:
            lower[axis] = upper[axis] = value
    return lower, upper


def _prior(count: int, seed: int = 0) -> Prior:
    """Gaussian priors of so many pixels, that say about as much as the measurements."""
    rng = np.random.default_rng(seed)
    factor = np.eye(4) + 0.3 * rng.standard_normal((count, 4, 4))
    covariance = factor @ factor.transpose(0, 2, 1) * _SPREAD * _SPREAD[:, None]
    roots = np.linalg.cholesky(np.linalg.inv(covariance)).transpose(0, 2, 1)
    return Prior(_MIDDLE * rng.uniform(0.7, 1.3, (count, 4)), _VARIANCE**0.5 * roots, count > 1)


def _weights(case: Case, shape: tuple[int, ...]) -> np.ndarray | None:
    """Weights (n, band) of a problem that has them; every fourth band of all pixels counts."""
    if case.problem not in ("weights", "missing bands"):
        return None
    values = [0.0, 0.5, 1.0, 2.0] if case.problem == "weights" else [0.0, 1.0]
    weights = np.random.default_rng(3).choice(values, shape).astype(np.float32)
    weights[:, :: max(1, shape[1] // 8)] = 1
    return weights


def _measured(case: Case) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Measured reflectances with their wavelengths, by kind."""
    faces, many = load_faces().cube, case.many
    spectra = np.asarray(faces.reflectance)
    kinds = {"archive": (spectra[:: max(1, len(spectra) // many)][:many], faces.wavelengths)}
    folder = Path(os.environ.get("MSFIT_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if folder.is_dir() and {"cheeks", "face"} & {*case.kinds}:
        cheeks = msfit.load(folder / "iset_cheeks.mat")
        kinds["cheeks"] = np.asarray(cheeks.reflectance).reshape(-1, cheeks.wavelengths.size)[:many], cheeks.wavelengths
        face = msfit.load(
            folder / "iset_face_spatial_illuminant_reflectance.mat", wavelengths=np.arange(400.0, 701.0, 10.0)
        )
        seen = np.asarray(face.reflectance).reshape(-1, face.wavelengths.size)
        seen = seen[np.isfinite(seen).all(1)]
        kinds["face"] = seen[:: max(1, len(seen) // many)][:many], face.wavelengths
    return {kind: found for kind, found in kinds.items() if kind in case.kinds}


def _resampled(spectra: np.ndarray, own: np.ndarray, nm: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(nm, own, spectrum) for spectrum in spectra]).astype(np.float32)


def _through(lamps: msfit.Channels, spectra: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Measured reflectance as channels see it."""
    nm, shares, _ = lamps.shares(float(own[0]), float(own[-1]))
    return (np.stack([np.interp(nm, own, spectrum) for spectrum in spectra]) @ shares.T).astype(np.float32)


def run(chosen: list[Case]) -> Iterator[tuple[Case, dict[str, dict[str, Any]], float]]:
    """Each case with its figures and the seconds it took."""
    for case in chosen:
        began = time.perf_counter()
        yield case, compare(case), time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    """Compare and write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD")
    parser.add_argument("--out", type=Path, default=record.RESULTS)
    options = parser.parse_args(arguments)
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    hasten()
    figures: dict[str, Any] = {}
    for case, apart, seconds in run([c for c in cases(options.few) if any(word in c.name for word in options.only)]):
        figures[case.name] = {**apart, "seconds": round(seconds, 1)}
        for kind, found in apart.items():
            rmse = max(found["rmse above"], found["rmse below"])
            print(
                f"{case.name:44s} {kind:8s} {found['pixels']:5d} pixels, rmse {rmse:.1e}, "
                f"{found['relative, worst of sharp']:.1e} of {100 * found['sharp']:.0f} % sharp, "
                f"other status {found['other status']}, {json.dumps(found['worst of all'])}",
                flush=True,
            )
        record.write("gpu_interpreted", figures, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
