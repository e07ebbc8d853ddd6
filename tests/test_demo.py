"""The demonstration: every facial spectrum fitted, with a table and a figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray
from PIL import Image

from msfit import demo as demonstration
from msfit.cli import main
from msfit.data.cube import Cube
from msfit.data.result import MAPS
from msfit.demo import Demo, run_demo
from msfit.errors import InputError
from msfit.io.datasets.issa import LABELS, SkinArchive, load_faces
from msfit.io.results import load_result


@pytest.fixture(scope="module")
def some_faces() -> Iterator[SkinArchive]:
    """Every 40th spectrum of the archive, to be quick."""
    everyone = load_faces()
    chosen = slice(None, None, 40)
    cube = Cube(everyone.cube.values[chosen], everyone.cube.wavelengths)
    labels = {name: getattr(everyone, name)[chosen] for name in LABELS}
    few = SkinArchive(cube, record=everyone.record[chosen], **labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demonstration, "load_faces", lambda: few)
        yield few


@pytest.fixture(scope="module")
def demo(some_faces: SkinArchive, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("demo") / "new")


def test_it_writes_a_result_with_labels_and_a_figure(some_faces: SkinArchive, demo: Demo) -> None:
    table, picture = demo.files
    with xarray.open_dataset(table, engine="h5netcdf") as found:
        assert found["group"].to_numpy().tolist() == some_faces.group.tolist()
        assert found["site"].dims == ("pixel",)
    np.testing.assert_array_equal(load_result(table).f_mel, demo.result.f_mel)
    with Image.open(picture) as figure:
        assert figure.width > 1000
    assert sorted(path.name for path in table.parent.iterdir()) == ["issa_faces.h5", "issa_faces.png"]


def test_rows_are_medians_by_label(some_faces: SkinArchive, demo: Demo) -> None:
    for by in ("group", "site"):
        *rows, everyone = demo.rows(by)
        assert everyone.label == "all"
        assert sum(row.spectra for row in rows) == everyone.spectra == some_faces.cube.shape[0]
        melanin = [row.values["f_mel"] for row in rows]
        assert melanin == sorted(melanin)
        for row in rows:
            chosen = getattr(some_faces, by) == row.label
            assert row.subjects == len(set(some_faces.subject[chosen]))
            for name in MAPS:
                assert row.values[name] == np.median(getattr(demo.result, name)[chosen])


def test_the_command_prints_both_tables(
    some_faces: SkinArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for label in {*some_faces.group, *some_faces.site}:
        assert str(label) in said
    for heading in ("Median by group", "Median by site", *MAPS, "spectra fitted in"):
        assert heading in said
    assert max(map(len, said.splitlines()[:-2])) <= 110


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        run_demo(tmp_path / "file" / "demo")
    with pytest.raises(InputError, match="expected one of"):
        run_demo(tmp_path / "demo", model="nosuch")
    assert list((tmp_path / "demo").iterdir()) == []


def test_darker_groups_hold_more_melanin(tmp_path: Path) -> None:
    """What every dermatologist knows, and the fit is not told."""
    archive = load_faces()
    result = demonstration.fit(archive.cube)
    median = {group: float(np.median(result.f_mel[archive.group == group])) for group in np.unique(archive.group)}
    assert min(median, key=lambda group: median[group]) == "Caucasian"
    assert max(median, key=lambda group: median[group]) == "African"
    assert 0.0030 < np.median(result.rmse) < 0.0045
