"""Sensitivities from files, and the statistical camera model against the cameras that it was computed from."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from msfit.colour.cameras import CameraModel, mean_camera, read_sensitivities
from msfit.errors import InputError

BANDS = np.arange(400.0, 721.0, 10.0)


def rawtoaces(index=("R", "G", "B"), rows=((400, 1, 2, 3), (500, 4, 5, 9), (600, 7, 1, 9))) -> dict:
    samples = {str(nm): list(values) for nm, *values in rows}
    return {"spectral_data": {"index": {"main": list(index)}, "data": {"main": samples}}}


def test_rawtoaces_json_in_any_channel_and_wavelength_order(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(rawtoaces(("B", "R", "G"), ((600, 7, 1, 9), (400, 1, 2, 3), (500, 4, 5, -9)))))
    camera = read_sensitivities(path)
    np.testing.assert_array_equal(camera.wavelengths, [400, 500, 600])
    np.testing.assert_array_equal(camera.values, [[2, 3, 1], [5, 0, 4], [1, 9, 7]])


@pytest.mark.parametrize("text", ["400,1,0,0\n500,0,1,0\n600,0,0,1\n", "nm,B,G,R\n400,0,0,1\n500,0,1,0\n600,1,0,0\n"])
def test_csv_with_and_without_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.csv"
    path.write_text(text)
    np.testing.assert_array_equal(read_sensitivities(path).values, np.eye(3))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "not in the form of a camera"),
        ("a.json", "[1]", "not in the form of a camera"),
        ("a.json", json.dumps(rawtoaces(("C", "M", "Y"))), "not in the form of a camera"),
        ("a.json", json.dumps(rawtoaces(rows=())), "no samples"),
        ("a.json", json.dumps(rawtoaces(rows=((400, 1, 2), (500, 1, 2)))), "not in the form of a camera"),
        ("a.json", json.dumps(rawtoaces(rows=((0.4, 1, 2, 3), (0.5, 1, 2, 9), (0.6, 2, 2, 1)))), "micrometres"),
        ("a.csv", "", "expected comma-separated columns"),
        ("a.csv", "nm,R,G,B\n", "expected comma-separated columns"),
        ("a.csv", "nm,C,M,Y\n400,1,2,3\n500,1,2,3\n", "columns nm, c, m, y"),
        ("a.csv", "400,1,2\n500,1,2\n", "expected comma-separated columns"),
        ("a.csv", "400,1,2,x\n500,1,2,3\n", "could not convert"),
        ("a.csv", "400,1,2,nan\n500,1,2,3\n", "not finite"),
        ("a.csv", "400,1,1,1\n500,2,2,2\n600,1,2,3\n", "multiples of each other"),
        ("a.csv", "400,1,1,0\n500,2,1,0\n600,1,2,0\n", "without response"),
    ],
)
def test_what_is_no_camera_is_refused_by_name(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message) as refusal:
        read_sensitivities(path)
    assert name.split(".")[0] in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("none.csv", "none.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read_sensitivities(tmp_path / name)


def test_mean_camera_has_unit_sums() -> None:
    np.testing.assert_allclose(mean_camera().values.sum(axis=0), 1, atol=1e-8)


def test_camera_model_is_linear_in_b_above_zero_and_never_below_it() -> None:
    model = CameraModel(components=2)
    b = torch.tensor([[0.0, 0.0], [0.3, -0.2], [3.0, 3.0], [-3.0, 3.0]], dtype=torch.float64)
    cameras = model(b)
    assert cameras.shape == (4, 81, 3)
    assert (cameras >= 0).all()
    torch.testing.assert_close(cameras[0], model.mean.clamp(min=0))
    linear = model.mean + 0.3 * model.components[0] - 0.2 * model.components[1]
    torch.testing.assert_close(cameras[1], linear.clamp(min=0))
    unclamped = model.mean + torch.einsum("nk,kbc->nbc", b[2:], model.components)
    assert model.lowest_in_3_sigma == pytest.approx(-0.246, abs=5e-4)
    assert (unclamped.amin((1, 2)) / unclamped.amax((1, 2)) >= model.lowest_in_3_sigma - 1e-9).all()


def test_camera_model_on_other_bands_has_a_mean_of_unit_sum() -> None:
    model = CameraModel(BANDS)
    torch.testing.assert_close(model.mean.sum(0), torch.ones(3, dtype=torch.float64))
    native = CameraModel()
    ratio = model.components[0] / native.components[0][4:69:2]
    torch.testing.assert_close(ratio, (model.mean / native.mean[4:69:2])[:1].expand_as(ratio))


def test_camera_model_is_differentiable() -> None:
    b = torch.tensor([[0.4, -0.7, 0.1], [1.5, 0.2, -1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(CameraModel(BANDS[::3], components=3), (b,))


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="1 to 8"):
        CameraModel(components=9)
    with pytest.raises(InputError, match="2 numbers"):
        CameraModel()(torch.zeros(3))
    with pytest.raises(InputError, match="380-780 nm"):
        CameraModel([370.0, 400.0])


def test_the_script_reproduces_what_ships(reference_data: Path) -> None:
    script = Path(__file__).parents[2] / "scripts" / "build_camera_model.py"
    spec = importlib.util.spec_from_file_location("build_camera_model", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    computed = module.camera_model(reference_data / "cameras")
    shipped = json.loads(module.OUT.read_text())
    assert len(computed["cameras"]) == 52
    assert computed["cameras"] == shipped["cameras"]
    for key in ("wavelengths", "sigma", "variance_share", "lowest_in_3_sigma", "mean", "components"):
        np.testing.assert_allclose(computed[key], shipped[key], rtol=1e-6, atol=1e-9)
    assert sum(shipped["variance_share"][:2]) == pytest.approx(0.6438, abs=1e-4)
