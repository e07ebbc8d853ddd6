"""The benchmark of photographs: labels, repeatability, the way without a network, and light that was measured apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.photographs.folder import display, linear, read_folder
from benchmarks.photographs.methods import methods
from benchmarks.photographs.rows import by_tone, of_apart, of_picture, perturbed, repeatability
from biofacenet.prediction import load_model
from msfit.errors import InputError

skimage_data = pytest.importorskip("skimage.data")


def test_repeatability_is_that_of_shrout_and_fleiss() -> None:
    """ICC(1,1) of their table 2, six targets and four judges, is 0.17 (Psychol. Bull. 86, 1979)."""
    judged = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
    persons = [str(k) for k in range(6) for _ in range(4)]
    assert repeatability(persons, judged.ravel().tolist())["value"] == pytest.approx(0.17, abs=0.005)


def test_a_folder_has_labels_and_faces_whose_light_was_measured(tmp_path: Path) -> None:
    """Person and tone by file; three files of one face are not photographs."""
    face = skimage_data.astronaut()
    Image.fromarray(face).save(tmp_path / "one.png")
    for end in ("diffuse", "specular", "mask"):
        Image.fromarray(face).save(tmp_path / f"lit_{end}.png")
    (tmp_path / "labels.csv").write_text("file,person,tone\none.png,a,light\n")
    pictures, apart = read_folder(tmp_path)
    assert [(one.name, one.person, one.tone) for one in pictures] == [("one.png", "a", "light")]
    assert [one.name for one in apart] == ["lit"]
    (tmp_path / "labels.csv").write_text("file,person,tone\none.png,a,beige\n")
    with pytest.raises(InputError, match="expected one of very light"):
        read_folder(tmp_path)


def test_figures_of_a_photograph_hold_together() -> None:
    """All of the mesh is kept, maps and classes are there for the network and for two solves; mirrors move little."""
    pytest.importorskip("ai_edge_litert")
    face = skimage_data.astronaut()
    ways = methods(load_model("default", "cpu"))
    from benchmarks.photographs.folder import Picture

    for name in ("network", "two solves"):
        row, maps = of_picture(Picture("face", face, "a", "light"), ways[name], moved=False)
        assert maps is not None
        assert row["kept"] > 0.97
        assert 0 <= row["f_mel"] <= 0.43
        assert by_tone([row])["classes"]["light"]["photographs"] == 1
        assert np.isfinite(maps.f_mel[maps.face]).all()
    assert set(perturbed(face)) >= {"warm 10 %", "mirror", "JPEG 50"}


def test_gloss_that_is_added_is_ranked(tmp_path: Path) -> None:
    """Of a face without gloss and a bright spot put on it, figures name both rows."""
    pytest.importorskip("ai_edge_litert")
    face = skimage_data.astronaut()
    spot = np.zeros_like(face)
    spot[90:110, 200:240] = 120
    for end, values in (("diffuse", face), ("specular", spot), ("mask", np.full_like(face, 255))):
        Image.fromarray(values).save(tmp_path / f"lit_{end}.png")
    figures, found = of_apart(read_folder(tmp_path)[1][0], methods(load_model("default", "cpu"))["network"])
    assert set(found) == {"D", "D + S", "D + 3 S"}
    assert -1 <= figures["D + 3 S"]["gloss with the measured gloss"] <= 1


def test_display_and_linear_undo_each_other() -> None:
    """All 256 values come back."""
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(display(linear(values)), values)
