"""msfit: takes a multispectral face apart into melanin, haemoglobin, diffuse and specular shading.

In: spectra of skin, from a file or an array. Out: maps with a status for every pixel, pictures, files. The way is
file -> Cube -> options -> plan -> solve -> FitResult -> picture or score, and each step is a folder beside this file.
The public names below load at first use.
"""

from __future__ import annotations

import importlib

# As type checkers take it; to load `typing` for it would take longer than all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from msfit.align.bands import align_bands as align_bands
    from msfit.data.channels import Channels as Channels
    from msfit.data.cube import Cube as Cube
    from msfit.data.prior import SkinPrior as SkinPrior
    from msfit.data.result import FitResult as FitResult
    from msfit.data.result import Status as Status
    from msfit.errors import InputError as InputError
    from msfit.errors import InputWarning as InputWarning
    from msfit.face.coordinates import face_coordinates as face_coordinates
    from msfit.fitting.dask_graph import fit_lazy as fit_lazy
    from msfit.fitting.in_memory import fit as fit
    from msfit.fitting.light import estimate_illuminant as estimate_illuminant
    from msfit.fitting.polarised import fit_polarised as fit_polarised
    from msfit.fitting.spatial import fit_spatial as fit_spatial
    from msfit.io import load as load
    from msfit.io.results import load_result as load_result
    from msfit.mask import skin_mask as skin_mask
    from msfit.metrics.design import design_channels as design_channels
    from msfit.quality.check import check as check
    from msfit.rendering import render as render
    from msfit.skin.likeness import doubt_unlike_skin as doubt_unlike_skin
    from msfit.skin.likeness import skin_likeness as skin_likeness
    from msfit.skin.models import models as models
    from msfit.skin.models import reflectance as reflectance
    from msfit.skin.models import register_model as register_model
    from msfit.streaming.fit_file import fit_file as fit_file

__version__ = "0.1.0"

# Where each public name lives: loaded at first use, so that `import msfit` stays cheap.
_HOME = {
    "Channels": "msfit.data.channels",
    "Cube": "msfit.data.cube",
    "InputError": "msfit.errors",
    "InputWarning": "msfit.errors",
    "SkinPrior": "msfit.data.prior",
    "FitResult": "msfit.data.result",
    "Status": "msfit.data.result",
    "load": "msfit.io",
    "load_result": "msfit.io.results",
    "reflectance": "msfit.skin.models",
    "models": "msfit.skin.models",
    "register_model": "msfit.skin.models",
    "align_bands": "msfit.align.bands",
    "face_coordinates": "msfit.face.coordinates",
    "doubt_unlike_skin": "msfit.skin.likeness",
    "skin_likeness": "msfit.skin.likeness",
    "skin_mask": "msfit.mask",
    "check": "msfit.quality.check",
    "design_channels": "msfit.metrics.design",
    "estimate_illuminant": "msfit.fitting.light",
    "fit": "msfit.fitting.in_memory",
    "fit_file": "msfit.streaming.fit_file",
    "fit_lazy": "msfit.fitting.dask_graph",
    "fit_polarised": "msfit.fitting.polarised",
    "fit_spatial": "msfit.fitting.spatial",
    "render": "msfit.rendering",
}
__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'msfit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
