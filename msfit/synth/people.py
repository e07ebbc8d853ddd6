"""The people whose measured skin clothes the faces, and their split into train, validation and test."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np

from msfit.colour.colorimetry import spectrum_to_xyz
from msfit.errors import InputError
from msfit.io.datasets.issa import SkinArchive, load_faces

SITES = ("cheek", "forehead", "nose", "chin")
SPLITS = ("train", "validation", "test")
#: Classes of the individual typology angle and their lower edges [degrees] (A. Chardon, I. Cretois, C. Hourseau, "Skin
#: colour typology and suntanning pathways", Int J Cosmet Sci 13, 191, 1991).
ITA_CLASSES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
#: A face takes measurements of this many sites at least.
SITES_NEEDED = 3
_SITE_OF = {"cheek": "cheek", "cheek bone": "cheek", "forehead": "forehead", "nose tip": "nose", "chin": "chin"}
_LARGEST_CONTRAST = 12.0


@dataclass(frozen=True, eq=False)
class Subject:
    """One measured person.

    Attributes
    ----------
    person : str
        As in `msfit.io.datasets.issa.SkinArchive`.
    ita : float
        Mean individual typology angle of the facial spectra [degrees].
    split : str
        "train", "validation" or "test".
    log_reflectance : float64 array (4, band)
        Mean natural logarithm of the reflectance at cheek, forehead, nose and chin; NaN where a site was not measured.
    contrast : float
        Largest colour difference between two of the sites [dE*ab, CIE 1976].
    """

    person: str
    ita: float
    split: str
    log_reflectance: np.ndarray
    contrast: float

    @property
    def ita_class(self) -> str:
        """Class of the typology angle, "very light" to "dark"."""
        return ita_class(self.ita)

    @property
    def sites(self) -> int:
        """Number of sites that were measured, of four."""
        return int(np.isfinite(self.log_reflectance[:, 0]).sum())


def ita_class(ita: float) -> str:
    """Class of an individual typology angle [degrees]: "very light" (above 55), "light", ..., "dark" (below -30)."""
    return next((name for name, edge in ITA_CLASSES.items() if ita > edge), "dark")


def lab(reflectance: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (..., 3) of reflectance (..., band) under D65, CIE 1931 observer, white (0.3127, 0.3290)."""
    import torch

    from msfit.colour.transforms import xyz_to_lab

    xyz = spectrum_to_xyz(np.asarray(reflectance, np.float64), wavelengths, "D65")
    white = spectrum_to_xyz(np.ones(len(wavelengths)), wavelengths, "D65")
    return xyz_to_lab(torch.from_numpy(xyz), torch.from_numpy(white)).numpy()


def typology_angle(reflectance: np.ndarray, wavelengths: np.ndarray) -> np.ndarray:
    """Individual typology angle atan2(L* - 50, b*) [degrees], (...), of reflectance (..., band) under D65."""
    colour = lab(reflectance, wavelengths)
    return np.degrees(np.arctan2(colour[..., 0] - 50, colour[..., 2]))


def make_split(archive: SkinArchive, seed: int = 2025) -> list[dict[str, str]]:
    """Split the persons of an archive, each as a whole, alike in every class of skin tone.

    A stratum is a class of the typology angle and whether at least three sites were measured. Of each stratum about
    20 % go to test, but at least four (or half of a stratum smaller than eight), 10 % to validation, the rest to train.

    Returns
    -------
    list of dict
        Rows with person, ita, ita_class, sites, split, ordered by person.
    """
    rng = np.random.default_rng(seed)
    angles = typology_angle(archive.cube.reflectance, archive.cube.wavelengths)
    strata: dict[tuple[str, bool], list[tuple[str, float, int]]] = {}
    for person in np.unique(archive.person):
        own = archive.person == person
        ita = float(angles[own].mean())
        sites = len({_SITE_OF[site] for site in archive.site[own]})
        strata.setdefault((ita_class(ita), sites >= SITES_NEEDED), []).append((str(person), ita, sites))
    rows = []
    for key in sorted(strata):
        members = strata[key]
        test = max(round(0.2 * len(members)), min(4, (len(members) + 1) // 2))
        validation = round(0.1 * len(members)) or int(len(members) > test + 1)
        order = rng.permutation(len(members))
        for rank, index in enumerate(order):
            person, ita, sites = members[index]
            split = "test" if rank < test else "validation" if rank < test + validation else "train"
            rows.append(
                {"person": person, "ita": f"{ita:.2f}", "ita_class": key[0], "sites": str(sites), "split": split}
            )
    return sorted(rows, key=lambda row: row["person"])


@functools.cache
def split_table() -> dict[str, dict[str, str]]:
    """The split that ships with the library: a row (person, ita, ita_class, sites, split) a person.

    Made once by `make_split`. Calibration and networks keep to it: nothing is estimated from a test person.
    """
    text = resources.files("msfit.synth").joinpath("data", "subject_split.csv").read_text(encoding="ascii")
    return {
        row["person"]: row for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    }


@functools.cache
def _all_subjects() -> tuple[Subject, ...]:
    archive, table = load_faces(), split_table()
    site = np.array([_SITE_OF[name] for name in archive.site])
    logs = np.log(np.asarray(archive.cube.reflectance, np.float64))
    order = np.argsort(archive.person, kind="stable")
    persons, starts = np.unique(archive.person[order], return_index=True)
    means = np.full((len(persons), len(SITES), logs.shape[1]), np.nan)
    for mean, own in zip(means, np.split(order, starts[1:]), strict=True):
        for number, name in enumerate(SITES):
            if (here := own[site[own] == name]).size:
                mean[number] = logs[here].mean(axis=0)
    colours = lab(np.exp(means), archive.cube.wavelengths)
    apart = np.linalg.norm(colours[:, :, None] - colours[:, None], axis=-1)
    contrast = np.nanmax(apart, axis=(1, 2))
    rows = [table[str(person)] for person in persons]
    return tuple(
        Subject(row["person"], float(row["ita"]), row["split"], *own)
        for row, *own in zip(rows, means, contrast.tolist(), strict=True)
    )


def subjects(split: str | None = None, min_sites: int = SITES_NEEDED) -> tuple[Subject, ...]:
    """The persons of a split, or all, who were measured at `min_sites` of the four sites or more, ordered by person.

    Raises
    ------
    InputError
        An unknown split.
    """
    if split is not None and split not in SPLITS:
        raise InputError(f"split: found {split!r}; expected one of {', '.join(SPLITS)}")
    return tuple(one for one in _all_subjects() if one.sites >= min_sites and split in (None, one.split))


@functools.cache
def wearable(split: str) -> tuple[Subject, ...]:
    """The persons of a split whose skin clothes a face: three sites or more, alike enough to be of bare skin.

    Where two sites of a person differ by more than 12 dE*ab (8 % of the persons; the median is 6), one of them was a
    beard, make-up or a slip.
    """
    return tuple(one for one in subjects(split) if one.contrast <= _LARGEST_CONTRAST)
