"""Reports of several subjects: rows by subject and site, numbers that are numpy's, flags where something is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas
import pytest

import msfit
from msfit.cli import main
from msfit.errors import InputError
from msfit.view.cohort import cohort, make_report

NM = np.arange(400.0, 701.0, 10.0)


@pytest.fixture(scope="module")
def picture() -> msfit.FitResult:
    f_mel = np.linspace(0.05, 0.3, 80).reshape(8, 10)
    return msfit.fit(0.8 * msfit.reflectance(f_mel, 0.03, NM) + 0.04, NM)


@pytest.fixture(scope="module")
def spectra() -> msfit.FitResult:
    index = pandas.MultiIndex.from_product([["ann", "bo"], [2.0, 6.0], [1, 2]], names=["subject", "site", "take"])
    skin = 0.8 * msfit.reflectance(np.linspace(0.05, 0.3, 8), 0.03, NM) + 0.04
    return msfit.fit(pandas.DataFrame(skin, index=index, columns=NM))


def test_a_row_a_picture_and_a_row_a_subject_and_site(picture: msfit.FitResult, spectra: msfit.FitResult) -> None:
    table = cohort({"cy": picture, "instrument": spectra})
    assert table.index.to_list() == [("cy", ""), ("ann", "2"), ("ann", "6"), ("bo", "2"), ("bo", "6")]
    assert table["n"].to_list() == [80, 2, 2, 2, 2]
    row = table.loc[("cy", "")]
    expected = np.percentile(picture.f_mel, (5, 50, 95))
    np.testing.assert_allclose([row["f_mel 5 %"], row["f_mel"], row["f_mel 95 %"]], expected, rtol=1e-12)
    assert table.loc[("bo", "6"), "f_mel"] == pytest.approx(np.median(spectra.f_mel[6:]))
    skin = msfit.metrics.skin_colour(np.median(picture.skin().reshape(-1, 31), axis=0)[None], NM)
    assert row["ITA"] == pytest.approx(float(skin.ita[0]))
    assert (table["flags"] == "").all()


def test_flags() -> None:
    rng = np.random.default_rng(1)
    grey = msfit.fit(0.3 + 0.1 * rng.random((8, 8, 31)), NM)
    assert "RMSE" in cohort({"grey": grey})["flags"].iloc[0]
    black = msfit.fit(0.8 * msfit.reflectance(np.full((8, 8), 0.43), 0.07, NM) + 0.04, NM, bounds={"f_mel": (0, 0.3)})
    assert "100 % at a bound" in cohort({"black": black})["flags"].iloc[0]
    few = msfit.fit(0.8 * msfit.reflectance(np.full((2, 2), 0.1), 0.03, NM) + 0.04, NM)
    assert cohort({"few": few})["flags"].iloc[0] == "4 pixels"


def test_names_cannot_close_a_tag_and_no_machine_is_named(picture: msfit.FitResult) -> None:
    text = make_report({"<script>alert(1)</script>": picture}, title="<b>")
    assert "<script" not in text
    assert "&lt;b&gt;" in text
    assert not re.search(r"https?://", text)
    assert text.count("<img") == 6


def test_the_command(picture: msfit.FitResult, spectra: msfit.FitResult, tmp_path: Path) -> None:
    picture.save(tmp_path / "cy.h5")
    spectra.save(tmp_path / "instrument.csv")
    inputs = [str(tmp_path / name) for name in ("cy.h5", "instrument.csv")]
    output, table = tmp_path / "report.html", tmp_path / "table.csv"
    assert main(["report", *inputs, "-o", str(output), "--table", str(table)]) == 0
    assert "5 rows of 2 results" in output.read_text(encoding="utf-8")
    stored = pandas.read_csv(table, index_col=["subject", "site"], keep_default_na=False, na_values=["nan"])
    assert stored.loc[("ann", "2"), "n"].item() == 2
    assert main(["report", *inputs, "-o", str(output)]) == 2
    assert main(["report", inputs[0], inputs[0], "-o", str(tmp_path / "b.html")]) == 2
    assert not (tmp_path / "b.html").exists()
    with pytest.raises(InputError, match="none given"):
        cohort({})
