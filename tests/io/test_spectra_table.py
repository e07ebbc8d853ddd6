"""Tables of spectra as spectrophotometers and spreadsheets export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import msfit
from msfit.cli import main
from msfit.errors import InputError

NM = np.arange(400.0, 701.0, 10.0)
SKIN = (0.8 * msfit.reflectance([0.05, 0.1, 0.3], 0.03, NM) + 0.04).round(5)
NAMES = ["ann", "bo", "cy"]


def written(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


def check(path: Path, labels: str | None = None, **options: str) -> msfit.Cube:
    cube = msfit.load(path, **options)
    np.testing.assert_allclose(cube.wavelengths, NM)
    np.testing.assert_allclose(cube.values, SKIN, rtol=1e-12)
    if labels is not None:
        assert cube.axes is not None
        assert list(cube.axes.coords[labels][1]) == NAMES
    return cube


def test_wavelengths_as_columns(tmp_path: Path) -> None:
    lines = [",".join(["subject", "site", *(f"{nm:g}" for nm in NM)])]
    lines += [",".join([name, "4", *map(str, row)]) for name, row in zip(NAMES, SKIN, strict=True)]
    cube = check(written(tmp_path / "a.csv", lines), "subject")
    assert cube.axes is not None
    assert list(cube.axes.coords["site"][1]) == [4, 4, 4]


def test_wavelengths_as_rows_in_percent_with_decimal_commas(tmp_path: Path) -> None:
    lines = ["Instrument: CM-700d; SCI", "Illuminant;D65", "# a comment", "", "Wavelength [nm];ann;bo;cy", "nm;%;%;%"]
    lines += [
        ";".join([f"{nm:g}", *(f"{100 * v:.3f}".replace(".", ",") for v in SKIN[:, k])]) for k, nm in enumerate(NM)
    ]
    cube = check(written(tmp_path / "a.csv", [*lines, "", "end of data"], "cp1252"), "spectrum")
    assert cube.provenance["note"] == "percent were divided by 100"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tabs_names_with_units_and_descending_order(tmp_path: Path, encoding: str) -> None:
    lines = ["\t".join(["ID", *(f"R{nm:.1f} nm" for nm in NM[::-1])])]
    lines += ["\t".join([name, *map(str, row[::-1])]) for name, row in zip(NAMES, SKIN, strict=True)]
    check(written(tmp_path / "a.tsv", lines, encoding), "ID")


def test_columns_of_spaces_in_micrometres(tmp_path: Path) -> None:
    lines = ["0.0 0.0 0.0", *(" ".join([f"{nm / 1000:.3f}um", *map(str, SKIN[:, k])]) for k, nm in enumerate(NM))]
    check(written(tmp_path / "a.txt", lines[1:]))


def test_workbook(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "notes"
    book.active.append(["measured", 2025])
    sheet = book.create_sheet("skin")
    sheet.append(["a table in percent"])
    sheet.append([])
    sheet.append(["subject", *NM.astype(int).tolist(), "remark"])
    for name, row in zip(NAMES, SKIN, strict=True):
        sheet.append([name, *(100 * row).tolist(), "ok"])
    book.save(tmp_path / "a.xlsx")
    assert check(tmp_path / "a.xlsx", "subject").provenance["sheet"] == "skin"
    check(tmp_path / "a.xlsx", "subject", variable="skin")
    with pytest.raises(InputError, match="expected a sheet: notes, skin"):
        msfit.load(tmp_path / "a.xlsx", variable="none")
    with pytest.raises(InputError, match="no spectra in the sheets notes"):
        msfit.load(tmp_path / "a.xlsx", variable="notes")


def test_empty_cells_are_missing_and_words_are_refused(tmp_path: Path) -> None:
    rows = [[name, *map(str, row)] for name, row in zip(NAMES, SKIN, strict=True)]
    rows[1][5] = ""
    head = ",".join(["subject", *(f"{nm:g}" for nm in NM)])
    cube = msfit.load(written(tmp_path / "a.csv", [head, *map(",".join, rows)]))
    assert np.isnan(cube.values[1, 4])
    assert np.isfinite(cube.values).sum() == 92
    rows[2][7] = "error"
    with pytest.raises(InputError, match=r"a.csv: row 4: found 'error' among the spectra; expected a number"):
        msfit.load(written(tmp_path / "a.csv", [head, *map(",".join, rows)]))


@pytest.mark.parametrize("content", ["", "hello\n", "1,2\n3,4\n", "a;b\n" * 9, '"\n', "400,410\n"])
def test_what_holds_no_spectra_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError) as refused:
        msfit.load(tmp_path / "a.csv")
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "a.csv"))


def test_names_come_back_in_the_tables_of_results(tmp_path: Path) -> None:
    lines = [",".join(["subject", *(f"{nm:g}" for nm in NM)])]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(NAMES, SKIN, strict=True)]
    path = written(tmp_path / "a.csv", lines)
    assert main(["fit", str(path), "-o", str(tmp_path / "maps.csv")]) == 0
    table = msfit.load_result(tmp_path / "maps.csv").to_dataframe()
    assert table["subject"].to_list() == NAMES
    np.testing.assert_allclose(table["f_mel"], [0.05, 0.1, 0.3], atol=2e-4)


def test_a_spectral_library_of_envi(tmp_path: Path) -> None:
    pytest.importorskip("spectral")
    SKIN.astype("<f4").tofile(tmp_path / "skin.sli")
    header = (
        "ENVI\nsamples = 31\nlines = 3\nbands = 1\nheader offset = 0\nfile type = ENVI Spectral Library\n"
        "data type = 4\n"
        f"interleave = bsq\nbyte order = 0\nwavelength units = Nanometers\nwavelength = {{{', '.join(map(str, NM))}}}\n"
        "spectra names = {ann, bo, cy}\n"
    )
    (tmp_path / "skin.hdr").write_text(header)
    cube = msfit.load(tmp_path / "skin.sli")
    np.testing.assert_allclose(np.asarray(cube.values).reshape(3, 31), SKIN.astype(np.float32))


def table(rows: list[list[str]], separator: str = ",") -> list[str]:
    return [separator.join(row) for row in [["subject", *(f"{nm:g}" for nm in NM)], *rows]]


def test_decimal_commas_that_also_set_columns_apart_are_refused(tmp_path: Path) -> None:
    rows = [[name, *(f"{value:.4f}".replace(".", ",") for value in row)] for name, row in zip(NAMES, SKIN, strict=True)]
    with pytest.raises(InputError, match=r"row 2: found 63 cells under 32 of the heading; .* decimal comma"):
        msfit.load(written(tmp_path / "a.csv", table(rows)))
    expected = np.round(SKIN, 4)
    np.testing.assert_allclose(msfit.load(written(tmp_path / "b.csv", table(rows, ";"))).values, expected, atol=2e-4)


def test_rows_that_are_too_long_are_refused_and_short_ones_said(tmp_path: Path) -> None:
    rows = [[name, *(f"{value:.4f}" for value in row)] for name, row in zip(NAMES, SKIN, strict=True)]
    with pytest.raises(InputError, match="row 5: found 41 cells under 32"):
        msfit.load(written(tmp_path / "a.csv", table([*rows, ["dee", *["0.1"] * 40]])))
    cube = msfit.load(written(tmp_path / "b.csv", table([*rows, ["dee", "0.1", "0.2"]])))
    assert len(cube.values) == 3
    assert "row 5: 2 of 31 numbers, left out" in cube.provenance["note"]


@pytest.mark.parametrize(("replaced", "words"), [
    ({"450": "bad"}, "found 400 beside 460 to 700 nm"),
    ({"400": "500", "500": "400"}, "out of order or cut off"),
])  # fmt: skip
def test_wavelengths_in_a_column_that_are_cut_off_or_shuffled_are_refused(
    tmp_path: Path, replaced: dict[str, str], words: str
) -> None:
    names = [replaced.get(f"{nm:g}", f"{nm:g}") for nm in NM]
    lines = ["nm,a,b", *(f"{name},{a:.4f},{b:.4f}" for name, a, b in zip(names, SKIN[0], SKIN[1], strict=True))]
    with pytest.raises(InputError, match=words):
        msfit.load(written(tmp_path / "a.csv", lines))


def test_underscores_are_no_digits(tmp_path: Path) -> None:
    rows = [[name, *(f"{value:.4f}" for value in row)] for name, row in zip(NAMES, SKIN, strict=True)]
    rows[1][4] = "0.1_5"
    with pytest.raises(InputError, match=r"row 3: found '0\.1_5' among the spectra"):
        msfit.load(written(tmp_path / "a.csv", table(rows)))
