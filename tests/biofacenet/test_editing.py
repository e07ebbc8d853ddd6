"""Edited photographs: nothing changes where nothing should, and what changes does as the decoder says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import binary_erosion, binary_fill_holes

from biofacenet import Box, Model, edit
from biofacenet.editing import EDITABLE, Change, Editor, parse_change
from biofacenet.photo.reading import linear_light, read_photo
from biofacenet.sheets import contact_sheet, parse_range
from msfit.colour.transforms import encode_srgb
from msfit.errors import InputError

NOTHING = {"melanin": "+0", "blood": "x1", "diffuse": "x1", "specular": "-0"}


@pytest.mark.parametrize("deep", [False, True])
def test_an_edit_that_changes_nothing_returns_the_photograph(model: Model, face: np.ndarray, deep: bool) -> None:
    photo = face.astype(np.uint16) * 257 + 3 if deep else face
    edited = edit(photo, NOTHING, model, box="whole")
    assert_array_equal(edited.rgb, photo)
    assert edited.rgb.dtype == photo.dtype
    assert edited.notes == ()


def test_pixels_outside_the_face_keep_every_bit(model: Model, face_file: Path, face_scene: object) -> None:
    photo = read_photo(face_file).rgb
    edited = edit(face_file, {"melanin": "+0.1", "specular": "0"}, model)
    changed = (edited.rgb != photo).any(axis=2)
    assert 0.05 < changed.mean() < 0.5
    outside = np.ones(changed.shape, bool)
    outside[30:222, 60:252] &= ~face_scene.truth.mask  # type: ignore[attr-defined]
    # ears and neck have the colour of skin, too; the blue wall has not
    assert not changed[:30].any()
    assert not changed[:, :60].any()
    assert changed[outside].mean() < 0.15


def test_the_change_fades_out_towards_the_edge(model: Model, face_file: Path) -> None:
    photo = read_photo(face_file).rgb.astype(int)
    edited = edit(face_file, {"diffuse": "x0.5"}, model).rgb.astype(int)
    difference = np.abs(edited - photo).max(axis=2)
    changed = binary_fill_holes(difference > 0)
    rim = changed & ~binary_erosion(changed)
    assert np.median(difference[rim]) < 0.35 * np.median(difference[changed])


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({"melanin": "+0.1"}, -1),
        ({"melanin": "x0.2"}, 1),
        ({"diffuse": "x1.3"}, 1),
        ({"specular": "0"}, -1),
        ({"blood": "x3"}, -1),
    ],
)
def test_changes_go_the_way_they_should(model: Model, face: np.ndarray, changes: dict[str, str], way: int) -> None:
    edited = edit(face, changes, model, box="whole")
    change = linear_light(edited.rgb) - linear_light(face)
    assert way * change.sum() > 0
    assert way * np.sign(change).sum() > 0


def test_a_photograph_that_the_decoder_drew_is_edited_as_it_draws(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No residual: then the edit is the rendering of the edited maps, up to 16 bits."""
    y, x = np.mgrid[:80, :80] / 79
    maps = {
        "f_mel": 0.03 + 0.1 * x,
        "f_blood": 0.005 + 0.02 * y,
        "i_d": 0.6 + 0.3 * x * y,
        "i_s": 0.02 + 0.03 * (1 - x),
    }
    maps = {name: values.astype(np.float32) for name, values in maps.items()}
    start = model.predict(np.random.default_rng(0).random((80, 80, 3)), encoding="linear")
    known = replace(start, **maps, misfit=None)

    def drawn(**values: np.ndarray) -> np.ndarray:
        named = {name: maps[held] for name, held in EDITABLE.items()}
        parts = editor_of(model, known)._drawn({**named, **values})
        return np.rint(65535 * encode_srgb(torch.from_numpy(sum(parts))).numpy()).astype(np.uint16)  # type: ignore[arg-type]

    photo = drawn()
    monkeypatch.setattr(Model, "predict", lambda self, rgb, **options: known)
    editor = Editor(photo, model, box="whole")
    editor._weight = np.ones_like(editor._weight)
    edited = editor.edit({"melanin": "+0.05", "blood": "x1.5", "specular": "0.01"})
    expected = drawn(
        melanin=maps["f_mel"] + 0.05, blood=maps["f_blood"] * 1.5, specular=np.full_like(maps["i_s"], 0.01)
    )
    # the colours are divided with a little added, hence not to the bit
    assert_allclose(edited.rgb / 65535, expected / 65535, atol=4e-3)
    assert np.abs(photo / 65535 - expected / 65535).max() > 0.05


def editor_of(model: Model, result: object) -> Editor:
    editor = object.__new__(Editor)
    editor.model, editor.result = model, result  # type: ignore[assignment]
    return editor


def test_values_are_held_in_their_range_and_it_is_told(model: Model, face: np.ndarray) -> None:
    edited = edit(face, {"melanin": "+1"}, model, box="whole")
    assert edited.notes == ("melanin +1: held at its range 0 to 0.43 on 100% of the face",)
    most = edit(face, {"melanin": "0.43"}, model, box="whole")
    assert_array_equal(edited.rgb, most.rgb)
    assert most.notes == ()
    assert edit(face, {"blood": "-1"}, model, box="whole").notes[0].startswith("blood -1: held at")


def test_alpha_is_kept_and_transparent_pixels_are_left_alone(model: Model, face: np.ndarray) -> None:
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:, :90] = 0
    edited = edit(np.dstack([face, alpha]), {"diffuse": "x0.5"}, model, box="whole")
    assert edited.alpha is not None
    assert_array_equal(edited.alpha, alpha)
    assert_array_equal(edited.rgb[:, :90], face[:, :90])
    assert (edited.rgb[:, 90:] != face[:, 90:]).any()


@pytest.mark.parametrize(
    ("text", "how", "amount"),
    [
        ("+0.05", "add", 0.05),
        ("-.5", "add", -0.5),
        ("x1.5", "multiply", 1.5),
        ("*2", "multiply", 2),
        ("0", "set", 0),
        (0.05, "set", 0.05),
    ],
)
def test_changes_are_read_as_they_are_written(text: str | float, how: str, amount: float) -> None:
    assert parse_change("blood", text) == Change(how, amount)


@pytest.mark.parametrize("text", ["", "x", "1,5", "x-2", "more", "++1", "1e999", "nan", -0.05, math.inf, None])
def test_what_is_no_change_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match="melanin: found"):
        parse_change("melanin", text)


def test_a_face_without_skin_is_refused(model: Model, face: np.ndarray) -> None:
    blue = np.random.default_rng(0).integers(0, 60, face.shape, np.uint8) + np.array([0, 20, 160], np.uint8)
    with pytest.raises(InputError, match="no skin was found in the face; give another place"):
        edit(blue, {"melanin": "+0.1"}, model, box="whole")


def test_an_unknown_map_is_refused(model: Model, face: np.ndarray) -> None:
    with pytest.raises(InputError, match="melanin, blood, diffuse, specular"):
        edit(face, {"freckles": "+1"}, model)


def test_ranges_are_read_as_they_are_written() -> None:
    assert [str(c) for c in parse_range("melanin=-0.05:0.2:3").changes] == ["-0.05", "+0.075", "+0.2"]
    assert [str(c) for c in parse_range("blood=x0.25:x4:3").changes] == ["x0.25", "x1", "x4"]
    assert [str(c) for c in parse_range("specular=0:0.1:2").changes] == ["0", "0.1"]


@pytest.mark.parametrize(
    "text", ["melanin", "melanin=1:2", "melanin=1:2:1", "melanin=1:2:x", "hue=1:2:3", "blood=x1:2:3"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--range"):
        parse_range(text)


def test_a_contact_sheet_shows_every_change(model: Model, face: np.ndarray) -> None:
    editor = Editor(face, model, box=Box(20, 20, 120, 150))
    across, down = parse_range("melanin=0:0.2:4"), parse_range("diffuse=x0.5:x1:2")
    row, _ = contact_sheet(editor, [across])
    assert row.shape == (150 + 4 + 22, 4 * 124, 3)
    both, notes = contact_sheet(editor, [across, down], {"specular": "0"})
    assert both.shape == (2 * (150 + 4 + 3 * 22), 4 * 124, 3)
    assert notes == ()
    assert_array_equal(row[2:152, 126:246], editor.edit({"melanin": across.changes[1]}).rgb[20:170, 20:140])
    for wrong in ([], [across] * 2, [across, down, down]):
        with pytest.raises(InputError, match="--range"):
            contact_sheet(editor, wrong)
