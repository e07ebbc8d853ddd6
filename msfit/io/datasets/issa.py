"""The facial spectra of the International Skin Spectra Archive, which come with the library."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np

from msfit.data.cube import Cube

LABELS = ("site", "group", "subject", "person", "origin", "gender", "age")


@dataclass(frozen=True, eq=False)
class SkinArchive:
    """Measured skin spectra and who they are of. All labels are str arrays (pixel,), one a spectrum.

    Attributes
    ----------
    cube : Cube
        Reflectance [1], float32 (pixel, band), specular component included.
    site : array
        Body location: ``cheek``, ``cheek bone``, ``chin``, ``forehead``, ``nose tip``.
    group : array
        Ethnicity or group, in the archive's words: ``Caucasian``, ``Southeast Asian (Thai)``, ...
    subject : array
        Who was measured: origin and subject number of the archive, ``04-0532``.
    person : array
        As `subject`, but subjects that share an identical spectrum count as one (the archive holds such copies).
        Split data by this, so that no spectrum is on both sides.
    origin : array
        Which of the archive's eleven data sets, by country: ``UK``, ``China2``, ...
    gender : array
        ``F`` or ``M``; empty where the archive has none.
    age : array
        Age group in years, ``20-29``; empty where the archive has none.
    record : uint16 array (pixel,)
        Record number in the archive.
    """

    cube: Cube
    site: np.ndarray
    group: np.ndarray
    subject: np.ndarray
    person: np.ndarray
    origin: np.ndarray
    gender: np.ndarray
    age: np.ndarray
    record: np.ndarray


def load_faces() -> SkinArchive:
    """The 7,553 facial spectra of the International Skin Spectra Archive: 400-700 nm every 10 nm, of 2,098 people.

    Spectrophotometer readings with the specular component included, from eleven data sets of eight countries.
    Reflectance lies between 0.005 and 0.672; no sample is missing.

    References
    ----------
    Y. Lu, K. Xiao, M. Pointer et al., "The International Skin Spectra Archive (ISSA): a multicultural human skin
    phenotype and colour spectra collection", Scientific Data 12, 487 (2025), doi:10.1038/s41597-025-04857-5. Data:
    doi:10.6084/m9.figshare.28228571.v4, CC BY 4.0.
    """
    import h5py

    with as_file(files("msfit.io.datasets").joinpath("issa_faces.h5")) as path, h5py.File(path, "r") as file:
        provenance = {name: file.attrs[name] for name in ("title", "source", "data", "licence", "changes")}
        cube = Cube(file["reflectance"][:], file["wavelength"][:], provenance=provenance)
        labels = {name: file[name][:].astype(str) for name in LABELS}
        return SkinArchive(cube, record=file["record"][:], **labels)
