"""What docs/photos.md says of photographs, where no other test holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from biofacenet import Model, predict
from biofacenet.cli import main
from biofacenet.photo.face import find_face, parse_box
from biofacenet.photo.reading import read_photo, write_photo


def two_faces(face: np.ndarray) -> np.ndarray:
    """A face, and the same at half its size beside it."""
    picture = np.full((240, 360, 3), (40, 60, 140), np.uint8)
    picture[20:212, 10:202] = face
    picture[60:156, 230:326] = np.asarray(Image.fromarray(face).resize((96, 96)))
    return picture


def test_of_several_faces_the_largest_counts(face: np.ndarray) -> None:
    found = find_face(two_faces(face))
    assert found is not None
    assert found.x + found.width / 2 < 200
    mirrored = find_face(np.ascontiguousarray(two_faces(face)[:, ::-1]))
    assert mirrored is not None
    assert mirrored.x + mirrored.width / 2 > 160


def test_the_box_says_where_the_maps_lie_and_they_have_its_own_size(model: Model, face: np.ndarray) -> None:
    result = predict(two_faces(face), model)
    box = parse_box(result.attrs["box"])
    assert result.shape == (box.height, box.width)
    assert_array_equal(
        np.round(255 * np.clip(result.picture, 0, 1)).shape[:2],  # type: ignore[arg-type]
        two_faces(face)[box.y : box.y + box.height, box.x : box.x + box.width].shape[:2],
    )


def test_the_size_sets_how_fine_details_are_and_never_the_size_of_maps(model: Model, face: np.ndarray) -> None:
    """0 is the photograph's own size; the default looks at up to 256 pixels; the model was trained at 64."""
    large = np.asarray(Image.fromarray(face).resize((400, 400)))
    results = {size: predict(large, model, box="whole", mask="none", size=size) for size in (None, 64, 256, 0)}
    assert {result.shape for result in results.values()} == {(400, 400)}
    assert_array_equal(results[None].f_mel, results[256].f_mel)
    for size in (64, 0):
        assert (results[size].f_mel != results[256].f_mel).any()


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_sixteen_bits_stay_sixteen_bits_through_an_edit(
    face: np.ndarray, weights: Path, tmp_path: Path, ending: str
) -> None:
    picture = face.astype(np.uint16) * 257 + np.arange(3, dtype=np.uint16)
    source, target = tmp_path / f"face{ending}", tmp_path / f"edited{ending}"
    write_photo(source, picture)
    arguments = ["edit", str(source), "--weights", str(weights), "--blood", "x1", "--whole", "-o", str(target), "-q"]
    assert main(arguments) == 0
    found = read_photo(target).rgb
    assert found.dtype == np.uint16
    assert_array_equal(found, picture)  # nothing is changed: every bit stays


def test_without_a_mask_everything_is_looked_at(model: Model, face_file: Path) -> None:
    assert predict(face_file, model, mask="none").fitted.all()
    assert not predict(face_file, model, mask="auto").fitted.all()


@pytest.mark.parametrize("where", ["photos", "photos/inside"])
def test_the_output_of_prepare_lies_outside_the_folders(
    face_file: Path, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    face_file.rename(tmp_path / "photos" / "face.png")
    assert main(["prepare", str(tmp_path / "photos"), "-o", str(tmp_path / where)]) == 2
    assert "photos" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["face.png"]
