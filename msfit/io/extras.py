"""Libraries that only some formats need."""

from __future__ import annotations

import importlib
from types import ModuleType

from msfit.errors import InputError, said

# Names of packages that are not those of their modules, and modules that come with msfit itself.
_NAMES = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "colour": "colour-science",
    "colour_checker_detection": "colour-checker-detection",
    "cv2": "opencv-python",
    "dlib": "dlib-bin",
    "skimage": "scikit-image",
}
_REQUIRED = ("PIL", "h5py", "h5netcdf", "xarray", "scipy")


def need(module: str, extra: str = "formats") -> ModuleType:
    """Import a library of one of msfit's extras.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        missing = (error.name or package).split(".")[0]
        if missing != package:  # it is there, and lacks something itself
            raise InputError(f"{package} cannot be loaded ({said(error)}): install it anew") from None
        name = _NAMES.get(package, package)
        how = f"pip install {name}" if package in _REQUIRED else f"pip install 'msfit[{extra}]'"
        raise InputError(f"needs the package {name}: {how}") from None
