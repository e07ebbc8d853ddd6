"""Table 1 end to end, on scenes whose figures are known, and on scenes that fail."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import msfit
from benchmarks.table1 import command, report, summary
from benchmarks.table1.choices import Choices
from benchmarks.table1.exams import find_scenes, make_exam
from benchmarks.table1.methods import TrainingMean
from benchmarks.table1.rgb_fit import prior_of_training, rgb_fit
from benchmarks.table1.scoring import grade
from biofacenet.networks.decoder import HIGHEST_FRACTIONS, fractions
from msfit.errors import InputError
from msfit.metrics import COLUMNS, Decomposition, in_unit
from msfit.skin.models import REFERENCE_MODEL

BANDS = np.arange(400.0, 701.0, 10.0)
SIDE, TILE = 64, 4
F_MEL, F_BLOOD, I_D, I_S = 0.08, 0.03, 0.7, 0.05
CHOICES = Choices(mask="none", crop="none", size=SIDE // TILE, degradations=False, shading_scale="none")


class Answer:
    """A method that knows the scene and errs by as much as it is told."""

    name, about, version = "answer", "a test", "1"
    model: str | None = None

    def __init__(self, **errors: float) -> None:
        self.errors = errors

    def __call__(self, picture: np.ndarray, model: str) -> Decomposition:
        err = self.errors.get
        shape = picture.shape[:2]
        m = [in_unit(name, f, "heads") for name, f in (("f_mel", F_MEL), ("f_blood", F_BLOOD))]
        errors = (err("f_mel", 0), err("f_blood", 0))
        pigments = [fractions(a + b, most) for a, b, most in zip(m, errors, HIGHEST_FRACTIONS, strict=True)]
        skin = msfit.reflectance(F_MEL, F_BLOOD, BANDS, model=model)
        albedo = msfit.render(msfit.Cube(skin[None, None], BANDS))[0, 0]
        return Decomposition(
            np.full(shape, I_D + err("i_d", 0)),
            np.full(shape, I_S + err("i_s", 0)),
            np.broadcast_to(albedo + err("albedo", 0), (*shape, 3)),
            np.full(shape, pigments[0]),
            np.full(shape, pigments[1]),
            picture + err("picture", 0),
        )


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A wall of one skin in one light, 64 x 64."""
    return write_scene(tmp_path / "wall.npz")


def write_scene(path: Path, i_d: float = I_D) -> Path:
    skin = i_d * msfit.reflectance(F_MEL, F_BLOOD, BANDS, model="alotaibi-smith-2019") + I_S
    np.savez(path, reflectance=np.broadcast_to(skin, (SIDE, SIDE, BANDS.size)), wavelengths=BANDS)
    return path


def scores(scene: Path, method: Answer, choices: Choices = CHOICES) -> dict[str, float]:
    (row,) = grade(make_exam(scene, choices), [method], choices)["scores"]
    return {column: row[column] for column in COLUMNS}


def test_six_errors_of_known_size_are_the_six_scores(scene: Path) -> None:
    errors = {"i_d": 0.11, "i_s": 0.02, "albedo": 0.03, "f_mel": 0.25, "f_blood": -0.125, "picture": 0.01}
    expected = {"diffuse": 0.11, "specular": 0.02, "albedo": 0.03, "melanin": 0.25, "haemoglobin": 0.125}
    assert scores(scene, Answer(**errors)) == pytest.approx({**expected, "reconstruction": 0.01}, abs=1e-6)


def test_shading_scale_is_a_choice(scene: Path) -> None:
    double = Answer(i_d=I_D, i_s=I_S)
    assert scores(scene, double)["diffuse"] == pytest.approx(I_D, abs=1e-6)
    for how in ("scene", "map"):
        choices = Choices(**{**CHOICES.key(), "shading_scale": how})
        assert scores(scene, double, choices)["diffuse"] == pytest.approx(0, abs=1e-6)


def test_exposure_for_the_face_multiplies_picture_and_shading(scene: Path) -> None:
    plain = make_exam(scene, CHOICES)
    exposed = make_exam(scene, Choices(**{**CHOICES.key(), "exposure": "face"}))
    gain = 1 / plain.picture.max()
    np.testing.assert_allclose(exposed.picture, gain * plain.picture, rtol=1e-6)
    before, after = (one.references[REFERENCE_MODEL]["fit"] for one in (plain, exposed))
    np.testing.assert_allclose(after.i_d, gain * before.i_d, rtol=1e-6)  # type: ignore[operator]
    np.testing.assert_allclose(after.f_mel, before.f_mel, rtol=1e-12)  # type: ignore[arg-type]


def test_the_light_on_the_face_can_be_the_unit(scene: Path) -> None:
    exam = make_exam(scene, Choices(**{**CHOICES.key(), "exposure": "light"}))
    np.testing.assert_allclose(exam.references[REFERENCE_MODEL]["fit"].i_d[exam.mask], 1.0, rtol=1e-5)  # type: ignore[index]
    np.testing.assert_allclose(exam.picture, make_exam(scene, CHOICES).picture / I_D, rtol=1e-5)


def test_weights_are_not_scored_in_terms_of_another_skin_model(scene: Path) -> None:
    foreign = Answer()
    foreign.model = "jacques-km"
    exam = make_exam(scene, CHOICES)
    assert grade(exam, [foreign], CHOICES)["scores"] == []
    asked = Choices(**{**CHOICES.key(), "other_models": True})
    assert len(grade(exam, [foreign], asked)["scores"]) == 1


def test_a_stand_in_is_scored_against_truth_too(tmp_path: Path) -> None:
    (path,) = msfit.synth.write_scenes(tmp_path, 1, seed=3, size=96, mode="model", split="test", model=REFERENCE_MODEL)
    exam = make_exam(path, Choices(degradations=False))
    assert exam.kind == "stand-in"
    assert exam.picture.shape == (64, 64, 3)
    assert 0.2 < exam.mask.mean() < 0.7
    rows = grade(exam, [], Choices(degradations=False))["scores"]
    (own,) = rows
    assert (own["method"], own["reference"], own["reconstruction"]) == ("msfit fit", "truth", None)
    assert own["diffuse"] < 0.05
    assert own["melanin"] < 0.05
    path.with_name(f"{path.stem}_truth.nc").unlink()
    assert make_exam(path, CHOICES).kind == "stand-in"


def test_fit_to_rgb_finds_what_the_prior_allows() -> None:
    """At the prior's mean it pulls nowhere, so that noise-free colours give the pixel back."""
    f_mel, f_blood, i_d, i_s = prior_of_training(REFERENCE_MODEL).mean
    fine = np.arange(400.0, 721.0)
    skin = msfit.reflectance(f_mel, f_blood, fine, model=REFERENCE_MODEL)
    picture = msfit.render(msfit.Cube((i_d * skin + i_s)[None, None], fine), "D65", "mean")
    found = rgb_fit(picture, REFERENCE_MODEL)
    assert found.i_d is not None
    assert found.f_mel is not None
    assert found.picture is not None
    assert found.i_d.item() == pytest.approx(i_d, abs=0.02)
    assert found.f_mel.item() == pytest.approx(f_mel, abs=0.01)
    np.testing.assert_allclose(found.picture, picture, atol=0.005)


def test_the_constant_predictor_is_constant() -> None:
    maps = TrainingMean()(np.zeros((3, 5, 3)), REFERENCE_MODEL).maps()
    assert set(maps) == {"i_d", "i_s", "albedo", "f_mel", "f_blood", "picture"}
    assert all(np.ptp(values, axis=(0, 1)).max() == 0 for values in maps.values())


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, *methods: Answer) -> int:
    monkeypatch.setattr(command, "all_methods", lambda extra=(): list(methods) or [Answer(i_d=0.1)])
    plain = ["--mask", "none", "--crop", "none", "--size", "16", "--no-degradations", "--figures", "0"]
    return command.main([*plain, *arguments])


def test_a_bad_scene_among_good_ones_is_named_and_the_rest_reported(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(300, b"\0"))
    out = tmp_path / "out"
    assert run([str(scene), str(tmp_path / "broken.mat"), "--out", str(out)], monkeypatch) == 2
    complaint = capsys.readouterr().err
    assert "broken.mat" in complaint
    assert "1 of 2 scenes failed" in complaint
    found = json.loads((out / "table1.json").read_text())["figures"]
    assert [one["name"] for one in found["scenes"]] == ["wall.npz"]
    assert list(found["failed"]) == ["broken.mat"]
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--bands", "a:b"), "bands: found 'a:b'"),
        (("--bands", "100:200"), "bands: 100:200 nm asked for"),
        (("--mask", "absent.png"), "mask: found 'absent.png'"),
        (("--figures", "-3"), "--figures: found -3"),
    ],
)
def test_options_are_refused_once_before_the_scenes(
    scene: Path, tmp_path: Path, option: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command.main([str(scene), "--out", str(out), *option]) == 2
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1
    assert not out.exists()


def test_strict_stops_at_the_first_failure(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mat").write_bytes(b"nothing")
    assert run([str(tmp_path / "a.mat"), str(scene), "--out", str(tmp_path / "out"), "--strict"], monkeypatch) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out" / "table1.md").exists()


def test_a_scene_without_skin_fails_by_name(tmp_path: Path) -> None:
    grey = np.full((32, 32, BANDS.size), 0.4)
    np.savez(tmp_path / "grey.npz", reflectance=grey, wavelengths=BANDS)
    with pytest.raises(InputError, match=r"grey\.npz: 0 pixels of skin"):
        make_exam(tmp_path / "grey.npz", Choices())


def test_a_run_goes_on_where_it_stopped(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert run([str(scene), "--out", str(out)], monkeypatch) == 0
    first = (out / "per_scene.csv").read_text()

    def refuse(path: Path, choices: Choices) -> None:
        raise AssertionError("graded again")

    monkeypatch.setattr("benchmarks.table1.run.make_exam", refuse)
    assert run([str(scene), "--out", str(out)], monkeypatch) == 0
    assert (out / "per_scene.csv").read_text() == first
    with pytest.raises(AssertionError, match="graded again"):
        run([str(scene), "--out", str(out), "--pigments", "linear"], monkeypatch)


def test_progress_is_said_where_output_is_redirected(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal has a bar; a file or a pipe gets a line a scene, on standard error, as each is done."""
    other = tmp_path / "other.npz"
    other.write_bytes(scene.read_bytes())
    seen: list[str] = []
    make = command.grade_all

    def watched(*args: object, progress: object, **options: object) -> object:
        def show(done: int, total: int) -> None:
            progress(done, total)  # type: ignore[operator]
            seen.append(capsys.readouterr().err)

        return make(*args, progress=show, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "grade_all", watched)
    assert run([str(scene), str(other), "--out", str(tmp_path / "out")], monkeypatch) == 0
    assert [text.strip().splitlines()[-1].partition(": ")[2] for text in seen] == [
        "1 of 2 scenes are graded",
        "2 of 2 scenes are graded",
    ]


def test_the_report_holds_every_choice_and_the_figures(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run([str(scene), "--out", str(out), "--figures", "1"], monkeypatch) == 0
    text = (out / "table1.md").read_text()
    assert all(words in text for words in Choices(**{**CHOICES.key()}).described().values() if "crop" not in words)
    assert "0.1720" in text
    assert "<table>" in (out / "table1.html").read_text()
    with (out / "per_scene.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["melanin"]) == pytest.approx(0, abs=1e-6)
    record = json.loads((out / "table1.json").read_text())
    assert record["figures"]["schema"] == report.SCHEMA
    assert record["machine"]
    wall = plt.imread(out / "figures" / "wall.png")[..., :3]
    assert (
        np.unique(wall.reshape(-1, 3).round(2), axis=0).shape[0] > 20
    )  # a picture and maps in colour, not an empty page


def test_equal_scenes_count_once(tmp_path: Path) -> None:
    paths = [write_scene(tmp_path / name) for name in ("a.npz", "b.npz")] + [write_scene(tmp_path / "c.npz", 0.5)]
    graded = [grade(make_exam(path, CHOICES), [Answer(i_d=0.1)], CHOICES) for path in paths]
    assert summary.duplicates(graded) == [("a.npz", "b.npz")]
    (row,) = summary.table(graded, "walls", lambda score: True)
    assert row.scenes == 2
    squares = [0.1**2, (I_D + 0.1 - 0.5) ** 2]
    assert row.values["diffuse"] == pytest.approx(np.sqrt(np.mean(squares)), abs=1e-6)
    low, high = row.intervals["diffuse"] or (0, 0)
    assert low == pytest.approx(0.1, abs=1e-6)
    assert high == pytest.approx(0.3, abs=1e-6)


def test_stand_ins_and_other_scenes_are_never_averaged(scene: Path) -> None:
    one = grade(make_exam(scene, CHOICES), [Answer()], CHOICES)
    other = {**one, "kind": "stand-in", "digest": "other", "name": "standin.mat"}
    text = report.markdown([one, other], CHOICES.described(), {})
    lines = [line for line in text.splitlines() if line.startswith("| answer")]
    assert any("stand-ins" in line for line in lines)
    assert any("wall.npz" in line for line in lines)
    assert all("| 1 |" in line for line in lines)


def test_folders_are_searched_and_truth_left_aside(tmp_path: Path) -> None:
    for name in ("b.mat", "a.mat", "a_truth.nc", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_scenes([tmp_path])] == ["a.mat", "b.mat"]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        find_scenes([tmp_path / "absent"])
    with pytest.raises(InputError, match="two scenes of this name"):
        find_scenes([tmp_path, tmp_path / "a.mat"])
