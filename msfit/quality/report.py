"""What a check found, in words and as options of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.cube import Cube

if TYPE_CHECKING:
    import pandas

#: Kinds of findings, in the order in which they are told.
KINDS = {
    "dead": "no signal",
    "clipped": "clipped",
    "white": "white is wrong",
    "noisy": "noisy",
    "moved": "moved",
    "light": "light falls off",
    "rmse": "RMSE above what skin gives",
}


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes
    ----------
    kind : str
        dead, clipped, white, noisy, moved, light or rmse.
    bands : tuple of float
        Wavelengths [nm] that it concerns; none where it concerns all.
    words : str
        What was found, with its size, and what to do.
    """

    kind: str
    bands: tuple[float, ...]
    words: str

    def __str__(self) -> str:
        return f"{KINDS[self.kind]}: {self.words}"


@dataclass(frozen=True)
class Medians:
    """Of a fit over the skin: melanin, blood, and RMSE as a share of the diffuse shading [1]."""

    f_mel: float
    f_blood: float
    rmse: float


@dataclass(frozen=True, eq=False)
class Report:
    """What `msfit.check` found.

    Attributes
    ----------
    findings : tuple of Finding
        Empty where nothing is wrong.
    model : str
        The skin model that was compared with.
    pixels : int
        How many were looked at.
    is_skin : bool
        False where no skin was found, and all lit pixels were taken.
    wavelengths : float array (band,)
        [nm], those of the model.
    table : mapping of float arrays (band,)
        By band: `offset` and `noise` (shares of the diffuse shading), `expected_noise`, `departure` from the neighbours
        and `departure_wide` from the next but one
        (logarithm), `missing` and `clipped` shares of samples, `shift_y` and `shift_x` [pixels]; NaN where unknown.
    before, after : Medians
        With all bands that have a signal; with what is proposed, the same where nothing is.
    expected_rmse : float
        What 95 % of measured skin stays below with this model, and this noise.
    options : mapping
        Of `msfit.fit`, that leave out or weigh down what is bad: `bands`, `weights`.
    shifts : mapping of float to (float, float)
        By how many rows and columns to move a band back, by its wavelength [nm].
    saturation : float or None
        Level of clipped samples that the file does not state, in its numbers.
    """

    findings: tuple[Finding, ...]
    model: str
    pixels: int
    is_skin: bool
    wavelengths: np.ndarray
    table: Mapping[str, np.ndarray]
    before: Medians
    after: Medians
    expected_rmse: float
    options: Mapping[str, Any] = field(default_factory=dict)
    shifts: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    saturation: float | None = None

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)

    def __str__(self) -> str:
        what = "skin" if self.is_skin else "lit pixels (no skin was found)"
        lines = [
            f"{self.pixels:,} of {what}, {self.wavelengths.size} bands"
            f" {self.wavelengths[0]:g}-{self.wavelengths[-1]:g} nm, {self.model}",
            f"RMSE {self.before.rmse:.2g} of the diffuse light, expected below {self.expected_rmse:.2g}",
        ]
        lines += [str(finding) for finding in self.findings] or ["nothing wrong was found"]
        if self.is_mendable:
            pairs = (
                ("f_mel", self.before.f_mel, self.after.f_mel),
                ("f_blood", self.before.f_blood, self.after.f_blood),
                ("RMSE", self.before.rmse, self.after.rmse),
            )
            changes = ", ".join(f"{name} {old:.3g} -> {new:.3g}" for name, old, new in pairs)
            lines.append(f"proposed: {self.command_line()}: medians {changes}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        kinds = ", ".join(finding.kind for finding in self.findings) or "nothing"
        return f"<Report {self.pixels:,} pixels: {kinds}>"

    @property
    def is_mendable(self) -> bool:
        """Whether options, shifts or a level are proposed."""
        return bool(self.options or self.shifts or self.saturation is not None)

    def command_line(self) -> str:
        """What is proposed, as options of ``msfit fit``."""
        words = []
        if "bands" in self.options:
            low, high = self.options["bands"]
            words.append(f"--bands {low:g}:{high:g}")
        if "weights" in self.options:
            ranges = (f"{low:g}:{high:g}={weight:.3g}" for (low, high), weight in self.options["weights"].items())
            words.append(f"--weights {','.join(ranges)}")
        if self.saturation is not None:
            words.append(f"--saturation {self.saturation:.8g}")
        if self.shifts:
            words.append("moved bands put back")
        return " ".join(words)

    def apply(self, cube: Cube) -> Cube:
        """The cube with moved bands put back (cubic splines) and the level of clipped samples; fit it with `options`.

        Parameters
        ----------
        cube : Cube
            The one that was checked. One that is read from disk is read whole where bands are moved.

        Returns
        -------
        Cube
        """
        if self.saturation is not None:
            cube = cube.changed(saturation=self.saturation)
        if not self.shifts:
            return cube
        from scipy.ndimage import shift

        values = np.array(cube.values, copy=True)
        values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        for nm, by in self.shifts.items():
            band = int(np.abs(cube.wavelengths - nm).argmin())
            plane = values[..., band]
            holes = ~np.isfinite(plane)
            moved = shift(np.where(holes, 0, plane), by, order=3, mode="nearest")
            values[..., band] = np.where(shift(holes.astype(float), by, order=1, mode="nearest") > 0, np.nan, moved)
        return cube.changed(values=values)

    def to_dataframe(self) -> pandas.DataFrame:
        """The measures of each band, with the wavelength [nm] as index, and the kinds of what was found in it."""
        import pandas

        table = pandas.DataFrame(dict(self.table), index=pandas.Index(self.wavelengths, name="wavelength"))
        table["findings"] = [
            ", ".join(finding.kind for finding in self.findings if nm in finding.bands)
            for nm in self.wavelengths.tolist()
        ]
        return table


def nanometres(bands: Sequence[float]) -> str:
    """Wavelengths in words."""
    return ", ".join(f"{nm:g}" for nm in bands) + " nm"
