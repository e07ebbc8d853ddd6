"""Folders of photographs become training data: what is rejected is told, what is interrupted goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import biofacenet.data.folder as folder
from biofacenet.data.folder import SELECTIONS, PreparedFolder, Selection, prepare, read_report
from biofacenet.photo.reading import linear_light
from biofacenet.photo.skin import skin_in_picture
from msfit.errors import InputError


@pytest.fixture
def photographs(tmp_path: Path, face: np.ndarray) -> Path:
    source = tmp_path / "photos"
    (source / "below").mkdir(parents=True)
    blue = np.random.default_rng(0).integers(0, 90, (150, 150, 3), np.uint8) + np.array([0, 20, 160], np.uint8)
    pictures = {
        "good.png": face,
        "below/good.jpg": face[:, ::-1],
        "small.png": face[:99],
        "wide.png": np.tile(face, (1, 2, 1)),
        "blue.png": blue,
        "grey.png": face.mean(axis=2).astype(np.uint8),
    }
    for name, values in pictures.items():
        Image.fromarray(np.ascontiguousarray(values)).save(source / name)
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (source / "notes.txt").write_text("no photograph")
    return source


def test_photographs_are_kept_or_rejected_with_a_reason(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps: list[tuple[int, int]] = []
    rows = prepare([photographs], out, Selection(skin=0.25), progress=lambda *step: steps.append(step))
    reasons = {Path(row.source).relative_to(photographs).as_posix(): row.reason for row in rows}
    assert reasons["good.png"] == reasons["below/good.jpg"] == ""
    assert reasons["small.png"] == "192 x 99 pixels: shorter side under 100"
    assert reasons["wide.png"] == "384 x 192 pixels: sides differ by more than 100"
    assert reasons["blue.png"].startswith("skin on 0.0%, under 25.0%")
    assert "greyscale" in reasons["grey.png"]
    assert "cannot be read" in reasons["broken.jpg"] or "not a picture" in reasons["broken.jpg"]
    assert len(rows) == 7
    assert steps[-1] == (7, 7)
    assert read_report(out) == rows
    assert {path.name for path in out.iterdir()} == {"report.csv", "settings.json", *(r.file for r in rows if r.file)}


def test_items_are_linear_with_their_skin(photographs: Path, tmp_path: Path, face: np.ndarray) -> None:
    out = tmp_path / "out"
    prepare([photographs / "good.png"], out, Selection(skin=0, size=192))
    data = PreparedFolder(out, size=192)
    assert len(data) == 1
    item = data[0]
    np.testing.assert_allclose(item["image"].permute(1, 2, 0), linear_light(face), atol=1e-6)
    np.testing.assert_array_equal(item["mask"][0] > 0, skin_in_picture(linear_light(face)))
    small = PreparedFolder(out, size=64)[0]
    torch.testing.assert_close(small["image"], torch.nn.functional.avg_pool2d(item["image"], 3))


def test_an_interrupted_run_goes_on(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    expected = prepare([photographs], whole, Selection(skin=0.25))
    monkeypatch.setattr(folder, "_BETWEEN_REPORTS", 2)

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([photographs], out, Selection(skin=0.25), progress=stop)
    assert len(read_report(out)) == 4
    looked_at: list[Path] = []
    original = folder.read_photo
    monkeypatch.setattr(folder, "read_photo", lambda path: looked_at.append(path) or original(path))
    assert prepare([photographs], out, Selection(skin=0.25)) == expected
    assert len(looked_at) == 3
    for row in expected:
        if row.file:
            assert (out / row.file).read_bytes() == (whole / row.file).read_bytes()


def test_other_sources_are_added_and_other_settings_refused(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare([photographs / "good.png"], out, Selection(skin=0))
    prepare([photographs / "below"], out, Selection(skin=0))
    assert len(PreparedFolder(out)) == 2
    with pytest.raises(InputError, match="other settings"):
        prepare([photographs], out)


def test_the_preset_of_imdb_asks_for_fifty_thousand_pixels() -> None:
    assert SELECTIONS["imdb"].skin * SELECTIONS["imdb"].size ** 2 == 50_000
    assert SELECTIONS["default"] == Selection(shortest=100, difference=100, size=256, skin=0.4)


def test_nothing_to_prepare_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for sources, says in (([empty], "no photographs"), ([tmp_path / "none"], "no such folder")):
        with pytest.raises(InputError, match=says):
            prepare(sources, tmp_path / "out")
    with pytest.raises(InputError, match=r"lies in .*choose a folder beside it"):
        prepare([empty], empty / "out")
    assert not (empty / "out").exists()
    with pytest.raises(InputError, match="no prepared photographs"):
        PreparedFolder(empty)
    with pytest.raises(InputError, match="selection"):
        Selection(skin=1.5)
