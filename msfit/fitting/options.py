"""Every option of every fit: one set, the same names, types and defaults at every door, checked once.

A door is a function that fits: `fit`, `fit_lazy`, `fit_file`, `fit_spatial`, `fit_polarised`. To add an option: a field
of `FitOptions` with its check, and a line in the group of keywords below whose doors take it. What depends on the skin
model or on the data is checked where these are known (`bounds`, `criterion`, `msfit.data.bands`).
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np

from msfit.data.bands import Bands
from msfit.data.channels import Channels
from msfit.data.prior import SkinPrior
from msfit.errors import InputError, unknown_keyword
from msfit.skin import DEFAULT_MODEL

if TYPE_CHECKING:
    from msfit.skin.registry import SkinModel

Bounds = str | Mapping[str, tuple[float, float]]
# A number a band of the cube, or numbers for ranges of wavelengths (A, B) [nm], ends included.
PerBand = Any | Mapping[tuple[float, float], float]
Progress = Callable[[int, int], None]
# "archive", "archive-contact", means with standard deviations by name, numbers or maps, or a density.
GivenPrior = str | Mapping[str, Any] | SkinPrior

PIGMENTS = ("f_mel", "f_blood")
SHADINGS = ("i_d", "i_s")
# (lower, upper) of i_d and of i_s.
ShadingBounds = tuple[tuple[float, float], tuple[float, float]]
# Largest share of a channel's response outside the model's range.
TRUNCATE = 0.03
RESIDUALS = ("reflectance", "radiance")
DTYPES = ("float32", "float64")
ARCHIVE = ("archive", "archive-contact")
# Weight of total variation where no spatial prior is named: about the noise of a band.
USUAL_TV = 0.01


class CommonKeywords(TypedDict, total=False):
    """Options of all doors."""

    model: str | SkinModel
    bounds: Bounds
    bands: Bands | None
    mask: Any
    device: Any
    dtype: Any
    loading: Mapping[str, Any] | None
    channels: Channels | None
    fwhm: float | None
    illuminant: Any
    truncate: float


class PixelKeywords(CommonKeywords, total=False):
    """Options of fits of pixels each on its own, as `fit_lazy` takes them."""

    free: Collection[str]
    shared: Collection[str]
    hold: Mapping[str, float] | None
    prior: GivenPrior | None
    weights: PerBand | None
    residual: str
    huber: float | None
    std: bool
    noise: float | PerBand | None
    certify: bool


class FitKeywords(PixelKeywords, total=False):
    """Options of `msfit.fit`."""

    progress: Progress | None


class PolarisedKeywords(CommonKeywords, total=False):
    """Options of `msfit.fit_polarised`."""

    free: Collection[str]
    hold: Mapping[str, float] | None
    prior: GivenPrior | None
    weights: PerBand | None
    residual: str
    std: bool
    noise: float | PerBand | None
    transmission: float | None
    progress: Progress | None


class FileKeywords(FitKeywords, total=False):
    """Options of `msfit.fit_file`."""

    memory: int | str | None
    scheduler: str | None
    resume: bool
    tell: Callable[[str], None] | None


class SpatialKeywords(CommonKeywords, total=False):
    """Options of `msfit.fit_spatial`."""

    tv: float | None
    sparsity: float
    tv_shading: float
    iterations: int
    tolerance: float
    progress: Progress | None


#: Which options each door takes.
DOORS: Mapping[str, Any] = {
    "fit": FitKeywords,
    "fit_lazy": PixelKeywords,
    "fit_file": FileKeywords,
    "fit_spatial": SpatialKeywords,
    "fit_polarised": PolarisedKeywords,
}
# Which of them look for the light of a picture.
_ESTIMATING = ("fit", "fit_spatial")
# Why some doors take an option and others cannot.
_REASONS = (
    (PixelKeywords, "is of fits of each pixel on its own"),
    (SpatialKeywords, "joins the pixels of a picture"),
    (FileKeywords, "is of fits from disk to disk"),
    (PolarisedKeywords, "is of a pair of pictures through polarisers"),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class FitOptions:
    """The options of a fit, checked; `msfit.fit`, `fit_spatial` and `fit_file` say what each means.

    Raises
    ------
    InputError
        A value that cannot be, or two options that do not go together.

    Examples
    --------
    >>> FitOptions(dtype=np.float32, std=True).given()
    {'dtype': 'float32', 'std': True}
    """

    model: str | SkinModel = DEFAULT_MODEL
    bounds: Bounds = "wide"
    bands: Bands | None = None
    mask: Any = None
    device: Any = "auto"
    dtype: Any = None
    loading: Mapping[str, Any] | None = None
    channels: Channels | None = None
    fwhm: float | None = None
    illuminant: Any = None
    truncate: float = TRUNCATE
    free: Collection[str] = PIGMENTS
    shared: Collection[str] = ()
    hold: Mapping[str, float] | None = None
    prior: GivenPrior | None = None
    weights: PerBand | None = None
    residual: str = "reflectance"
    huber: float | None = None
    std: bool = False
    noise: float | PerBand | None = None
    certify: bool = False
    transmission: float | None = None
    tv: float | None = None
    sparsity: float = 0.0
    tv_shading: float = 0.0
    iterations: int = 50
    tolerance: float = 1e-8
    memory: int | str | None = None
    scheduler: str | None = None
    resume: bool = True
    progress: Progress | None = None
    tell: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        checked = {
            "device": str(self.device),
            "dtype": _dtype(self.dtype),
            "loading": dict(self.loading or {}),
            "free": _names("free", self.free),
            "shared": _names("shared", self.shared),
            "hold": _hold(self.hold or {}),
            "prior": _prior(self.prior),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for name in ("std", "certify", "resume"):
            if not isinstance(flag := getattr(self, name), bool | np.bool):
                raise InputError(f"{name}: found {flag!r}; expected True or False")
        for name in ("progress", "tell"):
            if (function := getattr(self, name)) is not None and not callable(function):
                raise InputError(f"{name}: found {type(function).__name__}; expected a function")
        if self.residual not in RESIDUALS:
            raise InputError(f"residual: found {self.residual!r}; expected reflectance or radiance")
        if self.huber is not None and not (is_number(self.huber) and 0 < self.huber < np.inf):
            raise InputError(f"huber: found {self.huber!r}; expected a positive threshold in the unit of the residual")
        self.shadings  # noqa: B018 -- wrong bounds are refused before data are read
        self._check_channels()
        self._check_spatial()
        for first, second, why in _CONFLICTS:
            if _present(self, first) and _present(self, second):
                named = f" ({', '.join(self.extras)})" if second == "extras" else ""
                raise InputError(f"{first}: {why}{named}; leave out either")
        if isinstance(self.bounds, Mapping) and (both := [name for name in self.hold or {} if name in self.bounds]):
            raise InputError(f"hold: found {both[0]}, which bounds names too; leave it out of either")
        if self.noise is not None and not self.std and self.prior is None:
            raise InputError("noise: given without std or prior, which use it; ask for std, or leave noise out")
        if self.prior is not None and self.noise is None:
            raise InputError(
                "prior: given without noise; expected the standard deviation of a band's value, against which the prior"
                " is weighed"
            )

    def _check_channels(self) -> None:
        if self.channels is not None and not isinstance(self.channels, Channels):
            raise InputError(f"channels: found {type(self.channels).__name__}; expected msfit.Channels")
        if self.fwhm is not None and not (is_number(self.fwhm) and self.fwhm >= 0):
            raise InputError(f"fwhm: found {self.fwhm!r}; expected a width in nm, or 0 for bands that are needles")
        if self.transmission is not None and not (is_number(self.transmission) and self.transmission > 0):
            raise InputError(f"transmission: found {self.transmission!r}; expected a ratio above 0")
        if not is_number(self.truncate) or not 0 <= self.truncate < 1:
            raise InputError(f"truncate: found {self.truncate!r}; expected a share between 0 and 1")
        if self.truncate != TRUNCATE and self.channels is None and not self.fwhm:
            raise InputError("truncate: given without channels, whose responses it is about; leave it out")

    @cached_property
    def estimates_light(self) -> bool:
        """Whether the light is sought in the picture."""
        return isinstance(self.illuminant, str) and self.illuminant == "estimate"

    @cached_property
    def shadings(self) -> ShadingBounds:
        """Bounds of i_d and of i_s, from `bounds` and `hold`."""
        given: Mapping[str, Any] = self.bounds if isinstance(self.bounds, Mapping) else {}
        held = self.hold or {}
        ends = []
        for name in SHADINGS:
            try:
                low, high = (float(end) for end in given.get(name, (0.0, math.inf)))
            except (TypeError, ValueError):
                low = high = math.nan
            if not 0 <= low <= high or math.isinf(low) or (name == "i_d" and high == 0):
                raise InputError(
                    f"bounds: found {name} = {given[name]!r}; expected two numbers with 0 <= lower <= upper"
                )
            ends.append((held[name],) * 2 if name in held else (low, high))
        return ends[0], ends[1]

    def _check_spatial(self) -> None:
        for name in ("tv", "sparsity", "tv_shading"):
            weight = getattr(self, name)
            if weight is not None and not (is_number(weight) and 0 <= weight < math.inf):
                raise InputError(f"{name}: found {weight!r}; expected a finite number, 0 or more")
        if not isinstance(self.iterations, int | np.integer) or self.iterations < 1:
            raise InputError(f"iterations: found {self.iterations!r}; expected a whole number above 0")
        if not is_number(self.tolerance) or not 0 < self.tolerance < 1:
            raise InputError(f"tolerance: found {self.tolerance!r}; expected a share of the objective between 0 and 1")

    @classmethod
    def of(cls, door: str, given: Mapping[str, Any]) -> FitOptions:
        """The options that a door was called with.

        Parameters
        ----------
        door : str
            Name of a function in `DOORS`.
        given : mapping
            Its keywords.

        Raises
        ------
        TypeError
            A name that no door knows; the message says which one is nearest.
        InputError
            An option, other than by its default, that this door does not take; what `FitOptions` refuses.
        """
        if unknown := [name for name in given if name not in _DEFAULTS]:
            raise unknown_keyword(door, unknown[0], DOORS[door].__annotations__, nearest_of=_DEFAULTS)
        options = cls(**given)
        options.check_door(door)
        return options

    def check_door(self, door: str) -> None:
        """Refuse what a door does not take, other than by its default."""
        if foreign := [name for name in self.given() if name not in DOORS[door].__annotations__]:
            name = foreign[0]
            takers = ", ".join(f"msfit.{other}" for other, takes in DOORS.items() if name in takes.__annotations__)
            why = next((why for group, why in _REASONS if name in group.__annotations__), "")
            if name == "progress":
                why = "tells of work that is done at once"
            raise InputError(f"{name}: {why}, which msfit.{door} does not do; use {takers}, or leave {name} out")
        if self.estimates_light and door not in _ESTIMATING:
            raise InputError(
                f"illuminant: 'estimate' looks at a whole picture before it is fitted, which msfit.{door} does not do;"
                " use msfit.fit, or find the light first: msfit.estimate_illuminant"
            )

    def given(self) -> dict[str, Any]:
        """Options that differ from their defaults."""
        held = {name: getattr(self, name) for name in _DEFAULTS}
        return {name: value for name, value in held.items() if not _is_default(name, value)}

    @property
    def extras(self) -> tuple[str, ...]:
        """Names of the extra parameters that are fitted, a pixel or a picture."""
        return tuple(name for name in (*self.free, *self.shared) if name not in PIGMENTS)

    @property
    def spatial_weights(self) -> dict[str, float]:
        """Weights of the spatial priors; where none is named, that of the pigments' total variation is `USUAL_TV`."""
        tv = self.tv if self.tv is not None else 0.0 if self.sparsity or self.tv_shading else USUAL_TV
        return {"tv": float(tv), "sparsity": float(self.sparsity), "tv_shading": float(self.tv_shading)}


# Options that do not go together, and why. "extras" are extra parameters, in free or shared.
_CONFLICTS = (
    ("certify", "huber", "proves sums of squares, not Huber's loss"),
    ("certify", "extras", "does not go with extra parameters"),
    ("huber", "extras", "does not go with extra parameters"),
    ("residual", "shared", "found radiance with shared parameters"),
    ("channels", "fwhm", "says what the channels are already"),
    ("certify", "hold", "proves fits in which all four numbers are free"),
    ("huber", "hold", "searches with all four numbers free"),
    ("hold", "extras", "does not go with extra parameters"),
    ("prior", "weights", "weighs bands by their noise alone"),
    ("prior", "residual", "goes with residuals in reflectance, the unit of its noise"),
    ("prior", "huber", "goes with normal noise, not with Huber's loss"),
    ("prior", "certify", "is beyond what certificates prove, though its minimum is searched for all over the bounds"),
    ("prior", "extras", "does not go with extra parameters"),
)

_DEFAULTS = {f.name: f.default for f in fields(FitOptions) if f.default is not MISSING}


def _present(options: FitOptions, name: str) -> bool:
    value = getattr(options, name)
    return bool(value) if name == "extras" else not _is_default(name, value)


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS[name]
    if name in ("loading", "hold"):
        return not value
    if name == "free":
        return set(value) == set(PIGMENTS)
    return value is default or (isinstance(value, str | int | float | tuple) and value == default)


def _dtype(dtype: Any) -> str | None:
    """float32 or float64 by name, from a type of numpy or torch."""
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    if not isinstance(dtype, str) and name not in DTYPES:
        with contextlib.suppress(TypeError):
            name = np.dtype(dtype).name
    if name not in DTYPES:
        raise InputError(f"dtype: found {dtype!r}; expected float32 or float64")
    return name


def _hold(given: Any) -> dict[str, float]:
    names = (*PIGMENTS, *SHADINGS)
    if not isinstance(given, Mapping):
        raise InputError(f"hold: found {given!r}; expected numbers by name, such as {{'i_s': 0}}")
    for name, value in given.items():
        if name not in names:
            raise InputError(
                f"hold: found {name!r}; expected some of {', '.join(names)}; extras keep their default unless free"
            )
        if not is_number(value) or value < 0 or (name in PIGMENTS and value > 1) or (name == "i_d" and value == 0):
            raise InputError(
                f"hold: found {name} = {value!r}; expected a fraction, or a shading of 0 or more (i_d above 0)"
            )
    if len(given) == len(names):
        raise InputError("hold: all four numbers are held; leave one free")
    return {name: float(value) for name, value in given.items()}


def _prior(given: Any) -> str | SkinPrior | None:
    if given is None:
        return None
    if isinstance(given, str):
        if given not in ARCHIVE:
            raise InputError(f"prior: found {given!r}; expected {' or '.join(ARCHIVE)}, or means and deviations")
        return given
    return SkinPrior.of(given)


def _names(option: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str | Mapping) or not isinstance(given, Collection):
        raise InputError(f"{option}: found {given!r}; expected a list of names of parameters, such as ['f_mel']")
    return tuple(given)


def is_number(value: Any) -> bool:
    """Whether a value is one finite real number."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


_Function = TypeVar("_Function", bound=Callable[..., Any])


def door(function: _Function) -> _Function:
    """Show the options of a door in its signature, where `help`, notebooks and documentation look for them."""
    own = inspect.signature(function)
    positional = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    annotations = DOORS[function.__name__].__annotations__
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_DEFAULTS[name],
            annotation=getattr(annotations[name], "__forward_arg__", annotations[name]),
        )
        for name in _DEFAULTS
        if name in annotations
    ]
    function.__signature__ = own.replace(parameters=[*positional, *options])  # type: ignore[attr-defined]
    return function
