"""The choices that the paper leaves open: each is named, printed with the result, and keys what is kept of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from msfit.data.bands import requested_bands
from msfit.errors import InputError
from msfit.fitting.bounds import resolve_bounds
from msfit.io.masks import read_mask
from msfit.metrics.decomposition import check_choices
from msfit.skin.models import REFERENCE_MODEL, get_model

#: How albedo and pictures are compared: linear RGB as in the paper's losses, or display values.
ENCODINGS = ("linear", "srgb")
#: Brightness of the picture: as the scene is calibrated (white under its light is 1), or exposed for the face, as a
#: photograph is: 99 % of the face's values below 1; or with the light on the face as unit: 95 % of the diffuse shading
#: below 1, as an RMSE of shading is in units of the light. Pictures and shading of truth and fit are multiplied alike.
EXPOSURES = ("scene", "face", "light")
#: The part of a scene that is shown: a square about the face as in the network's training pictures, or all of it.
CROPS = ("face", "none")


@dataclass(frozen=True)
class Choices:
    """See `described` for what each means."""

    models: tuple[str, ...] = (REFERENCE_MODEL,)
    bounds: str = "wide"
    bands: str | None = None
    mask: str = "auto"
    crop: str = "face"
    exposure: str = "scene"
    size: int = 64
    shading_scale: str = "scene"
    pigments: str = "heads"
    encoding: str = "linear"
    degradations: bool = True
    other_models: bool = False

    def check(self) -> None:
        """Raise an InputError for a choice that does not exist, or that no scene could be graded with."""
        check_choices(self.shading_scale, self.pigments)
        for name in self.models:
            model = get_model(name)
            resolve_bounds(model, self.bounds)
            requested_bands(self.bands, model.wavelength_range, model.name)
        if self.mask not in ("auto", "none"):
            read_mask(self.mask)
        for name, allowed in (("crop", CROPS), ("exposure", EXPOSURES), ("encoding", ENCODINGS)):
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"{name}: found {value!r}; expected one of {', '.join(allowed)}")
        if not (self.size == 0 or 16 <= self.size <= 1024):
            raise InputError(f"size: found {self.size}; expected 16 to 1024 pixels, or 0 for the scene's own")

    def described(self) -> dict[str, str]:
        """Each choice in words."""
        units = {"heads": "m of the network's heads, [-1, 1]", "linear": "linear, [-1, 1]", "fraction": "fractions [1]"}
        scales = {
            "scene": "one least-squares factor a scene for both maps",
            "map": "one least-squares factor a map",
            "none": "none",
        }
        return {
            "pseudo ground truth": f"msfit fit, model {', '.join(self.models)}, bounds {self.bounds}, "
            + (f"bands {self.bands}" if self.bands else "all bands inside the model's range"),
            "picture": "D65, mean of 52 measured cameras, neutral pipeline, linear RGB",
            "exposure": {
                "scene": "as the scene is calibrated: white under its light is 1",
                "face": "99 % of the face's values below 1; pictures, and shading of truth and fit, multiplied alike",
                "light": "95 % of the fit's i_d below 1; pictures, and shading of truth and fit, multiplied alike",
            }[self.exposure],
            "picture size": f"{self.size} x {self.size}, area means over the face" if self.size else "the scene's own",
            "crop": {
                "face": "a square about the face, its mask three quarters of the side",
                "none": "the whole scene",
            }[self.crop],
            "face mask": {"auto": "the true one where it is known, else msfit's skin mask"}.get(self.mask, self.mask),
            "shading scale": scales[self.shading_scale],
            "pigments": units[self.pigments],
            "albedo and reconstruction": {"linear": "linear RGB", "srgb": "sRGB-encoded"}[self.encoding],
            "average": "root of the mean square over all face pixels of all scenes",
        }

    def key(self) -> dict[str, Any]:
        """What decides a scene's figures."""
        return asdict(self)
