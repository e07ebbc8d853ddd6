"""Networks are scored on faces with known maps, in known terms, beside a constant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import msfit
from biofacenet import Model, evaluate
from biofacenet.evaluation import Report, interpret, score, training_mean
from biofacenet.exam import TERMS, read_exam
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import rgb_weights
from msfit.errors import InputError
from msfit.metrics import COLUMNS, Decomposition, best_scale, in_unit, rmse
from msfit.synth import read_truth, write_scenes

REFERENCE = "alotaibi-smith-2019"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 2, seed=3, size=96, split="validation", model="alotaibi-smith-2019")
    return folder


def test_truth_scores_nothing_and_its_double_only_without_a_scale(scenes: Path) -> None:
    faces = read_exam(scenes, REFERENCE)
    assert [face.picture.shape for face in faces] == [(64, 64, 3)] * 2
    for terms in TERMS:
        exact = [face.truth[terms] for face in faces]
        assert set(score("truth", faces, exact, terms, "none").figures.values()) == {0.0}
        double = [Decomposition(**{**one.maps(), "i_d": 2 * one.i_d, "i_s": 2 * one.i_s}) for one in exact]
        assert score("double", faces, double, terms, "scene").figures["diffuse"] == pytest.approx(0, abs=1e-6)
        pooled = score("double", faces, double, terms, "none")
        face_pixels = np.concatenate([one.i_d[f.mask] for one, f in zip(exact, faces, strict=True)])  # type: ignore[index]
        assert pooled.figures["diffuse"] == pytest.approx(float(np.sqrt((face_pixels**2).mean())), rel=1e-5)
        assert list(pooled.scenes) == [face.name for face in faces]


def test_the_maps_of_the_exam_explain_its_pictures(scenes: Path) -> None:
    """i_d r + i_s under D65 for the mean camera, of both terms, is the picture: the model's up to its misfit."""
    weights = rgb_weights(np.arange(400.0, 701, 10), "D65", mean_camera())
    for face in read_exam(scenes, REFERENCE, size=96):
        truth = read_truth(scenes / face.name)
        skin = msfit.reflectance(
            face.truth["model"].f_mel[face.mask],
            face.truth["model"].f_blood[face.mask],
            truth.wavelengths,  # type: ignore[index]
            model="alotaibi-smith-2019",
        )
        modelled = face.truth["model"]
        drawn = modelled.i_d[face.mask, None] * (skin @ weights) + modelled.i_s[face.mask, None] * weights.sum(0)  # type: ignore[index]
        assert rmse(drawn, face.picture[face.mask]) < 0.02
        measured = face.truth["measured"]
        exact = measured.i_d[face.mask, None] * (truth.reflectance[face.mask] @ weights)  # type: ignore[index]
        exact += measured.i_s[face.mask, None] * weights.sum(0)  # type: ignore[index]
        assert rmse(exact, face.picture[face.mask]) < 0.02


def test_a_report_holds_what_can_be_computed_by_hand(scenes: Path, model: Model) -> None:
    report = evaluate(scenes, model)
    assert isinstance(report, Report)
    assert [(s.method, s.terms, s.shading_scale) for s in report.scores] == [
        (method, terms, scale)
        for terms in TERMS
        for scale in ("scene", "none")
        for method in ("network", "training mean")
    ]
    faces = read_exam(scenes, REFERENCE)
    pictures = torch.from_numpy(np.stack([face.picture for face in faces])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = model.network(pictures)
        drawn = model.decoder(*found[:6]).permute(0, 2, 3, 1).numpy()
    masks = np.stack([face.mask for face in faces])
    truth = np.stack([face.truth["model"].picture for face in faces])  # type: ignore[misc]
    assert report.scores[0].figures["reconstruction"] == pytest.approx(rmse(drawn, truth, masks), rel=1e-5)
    melanin = np.stack([in_unit("f_mel", face.truth["model"].f_mel, "heads") for face in faces])
    m = found.m_mel[:, 0].numpy()
    assert report.scores[0].figures["melanin"] == pytest.approx(rmse(m, melanin, masks), rel=1e-3)
    text = str(report)
    assert all(column in text for column in COLUMNS)
    assert text.count("\n") == 9
    assert report.to_dict()["scores"][0]["figures"] == report.scores[0].figures


def test_one_factor_a_scene_serves_both_shadings(scenes: Path, model: Model) -> None:
    faces = read_exam(scenes, REFERENCE)[:1]
    found = [one["model"] for one in interpret(model, faces)]
    known, mask = faces[0].truth["model"], faces[0].mask
    mine = np.concatenate([found[0].i_d[mask], found[0].i_s[mask]])  # type: ignore[index]
    right = np.concatenate([known.i_d[mask], known.i_s[mask]])  # type: ignore[index]
    factor = best_scale(mine, right)
    figures = score("network", faces, found, "model", "scene").figures
    assert figures["specular"] == pytest.approx(rmse(factor * found[0].i_s, known.i_s, mask), rel=1e-4)  # type: ignore[operator]


def test_degraded_pictures_are_scored_against_clean_truth(scenes: Path, model: Model) -> None:
    clean, noisy, again = (evaluate(scenes, model, degradation=how) for how in (None, "noise", "noise"))
    assert noisy.degradation == "noise"
    assert noisy.scores == again.scores
    assert noisy.scores[1] == clean.scores[1]  # a constant does not look
    assert noisy.scores[0].figures != clean.scores[0].figures


def test_results_of_a_fit_are_truth_too(scenes: Path, model: Model, tmp_path: Path) -> None:
    scene = sorted(scenes.glob("*.mat"))[0]
    result = msfit.fit(msfit.load(scene), model=REFERENCE, mask=read_truth(scene).mask)
    result.save(tmp_path / f"{scene.stem}.h5")
    (faces,) = read_exam(tmp_path, REFERENCE)
    assert set(faces.truth) == {"model"}
    assert faces.mask.mean() > 0.25
    report = evaluate(tmp_path, model)
    assert {one.terms for one in report.scores} == {"model"}
    (tmp_path / scene.name).write_bytes(scene.read_bytes())
    beside = evaluate(tmp_path, model)
    assert beside.scores[1].figures["melanin"] == report.scores[1].figures["melanin"]
    assert beside.scores[0].figures != report.scores[0].figures
    with pytest.raises(InputError, match="fitted with alotaibi-smith-2019; expected jacques-km"):
        read_exam(tmp_path, "jacques-km")


def test_truth_by_another_model_is_fitted_anew(scenes: Path) -> None:
    one, other = read_exam(scenes, REFERENCE)[0], read_exam(scenes, "biofacenet-lut")[0]
    assert rmse(one.truth["model"].f_mel, other.truth["model"].f_mel, one.mask) > 1e-3
    np.testing.assert_array_equal(one.truth["measured"].albedo, other.truth["measured"].albedo)
    assert training_mean("biofacenet-lut") is None


def test_folders_without_truth_are_refused(tmp_path: Path, model: Model) -> None:
    with pytest.raises(InputError, match="no scene with truth"):
        evaluate(tmp_path, model)
    with pytest.raises(InputError, match="no such folder"):
        evaluate(tmp_path / "none", model)
    with pytest.raises(InputError, match="degrade"):
        evaluate(tmp_path, model, degradation="fog")
    (tmp_path / "scene_truth.nc").write_bytes(b"\x89HDF\r\n\x1a\n broken")
    with pytest.raises(InputError, match="not the truth of a scene"):
        evaluate(tmp_path, model)
