"""`msfit fit`: scenes in, parameter maps out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msfit.cli.arguments import (
    parse_bounds,
    parse_hold,
    parse_light,
    parse_names,
    parse_per_band,
    parse_prior,
    parse_ranges,
)
from msfit.cli.console import compiling_told, complain, progress_bar, say
from msfit.cli.options import (
    DEFAULT_MODEL,
    Dark,
    Model,
    Orientation,
    Overwrite,
    Quiet,
    Saturation,
    Scale,
    Variable,
    Wavelengths,
    White,
    loading_options,
)
from msfit.cli.stream import check_figure, is_large, stream
from msfit.cli.targets import output_paths, report_failures, save_outputs
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.data.result import FitResult
    from msfit.fitting.options import FitOptions

WHAT, CAMERA, SKIN, SQUARED, SPATIAL, DISK = (
    "What is fitted",
    "Camera, where bands are no needles",
    "Skin",
    "What is minimised, and what is said beside",
    "Spatial priors, of all pixels together",
    "From disk to disk",
)


def option(panel: str, *names: str, metavar: str | None = None, help: str, shown: bool = True) -> Any:
    """An option in a group of the help."""
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, show_default=shown)


Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT", help="Scenes or spectra.", show_default=False)]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="Result: .h5, .nc, .mat, .npz, .csv, .hdr, .tif or .zarr; a folder for several inputs.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="PANEL", help="Figure of the maps: .png, .pdf, .svg or .jpg; a folder for several inputs."),
]
Range = Annotated[
    str | None,
    typer.Option(metavar="NAME=LOW:HIGH,...", help="Colours of PANEL, as f_mel=0:0.4, to compare panels."),
]
Bands = Annotated[
    str | None,
    option(WHAT, metavar="A:B[:STEP]", help="Bands [nm], ends included; with a step: resampled. Default: the model's."),
]
Mask = Annotated[
    str | None,
    option(WHAT, metavar="auto|FILE|none", help="Fit skin, bright pixels of a picture, or all. Default: as stored."),
]
Bounds = Annotated[str, option(SKIN, help="wide, paper, or as f_mel=0:0.4,f_blood=0.02:0.07.")]
Free = Annotated[
    str | None,
    option(SKIN, metavar="NAMES", help="Parameters to fit, as f_mel,f_blood,saturation: see 'msfit models'."),
]
Shared = Annotated[
    str | None,
    option(SKIN, metavar="NAMES", help="Parameters to fit with one value for the whole picture.", shown=False),
]
Responses = Annotated[
    str | None,
    option(CAMERA, metavar="FILE", help="Responses of the channels: CSV, JSON or MAT, in the order of the data."),
]
Fwhm = Annotated[
    float | None,
    option(CAMERA, metavar="NM", help="Bands are Gaussians of this full width at half maximum; 0: needles."),
]
Light = Annotated[
    str | None,
    option(
        CAMERA,
        "--light",
        metavar="NAME|FILE|estimate",
        help="Light that weighs the responses: A, D65, F11, ..., or a CSV file; estimate: not known, from the skin.",
    ),
]
Truncate = Annotated[
    float, option(CAMERA, metavar="SHARE", help="Share of a response that may lie outside the model's range.")
]
Parallel = Annotated[
    Path | None,
    option(
        CAMERA,
        metavar="FILE",
        help="INPUT is the picture through crossed polarisers, this the one through parallel ones.",
    ),
]
Transmission = Annotated[
    float | None, option(CAMERA, metavar="T", help="Of --parallel over INPUT, for diffuse light. Default: estimated.")
]
Align = Annotated[
    bool, option(CAMERA, "--align", help="Bring bands that were taken one after another into register first.")
]
Hold = Annotated[
    str | None,
    option(SKIN, metavar="NAME=VALUE,...", help="Hold numbers, as i_s=0 under crossed polarisers."),
]
Prior = Annotated[
    str | None,
    option(
        SKIN,
        metavar="archive|NAME=MEAN:SD,...|FILE",
        help="What is known beforehand, with --noise: archive, archive-contact, as f_mel=0.1:0.05, or an .npz file.",
    ),
]
Weights = Annotated[
    str | None,
    option(SQUARED, metavar="A:B=W,...|FILE", help="Weights of bands [nm], 1 elsewhere; or a file with one a band."),
]
Residual = Annotated[str, option(SQUARED, help="What is squared: reflectance, or radiance.")]
Huber = Annotated[
    float | None, option(SQUARED, metavar="K", help="Residual beyond which a band counts linearly (Huber's loss).")
]
Std = Annotated[bool, option(SQUARED, "--std", help="Standard deviations and correlations as well.")]
Noise = Annotated[
    str | None,
    option(
        SQUARED,
        metavar="SIGMA|A:B=SIGMA,...|FILE",
        help="Known noise of a band, for --std and --prior. Default for --std: from the residual.",
    ),
]
Certify = Annotated[bool, option(SQUARED, "--certify", help="Prove that each minimum is the global one.")]
Tv = Annotated[
    float | None,
    option(SPATIAL, metavar="W", help="Weight of the pigments' total variation: smooth maps; about a band's noise."),
]
Sparsity = Annotated[float, option(SPATIAL, metavar="W", help="Weight of specular shading: sparse gloss.")]
TvShading = Annotated[float, option(SPATIAL, metavar="W", help="Weight of the shadings' total variation.")]
Iterations = Annotated[int, option(SPATIAL, metavar="N", help="At most.")]
Tolerance = Annotated[float, option(SPATIAL, metavar="SHARE", help="Share of the objective that may be left to gain.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Dtype = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="float32 (much the faster) or float64. Default: the data's.", show_default=False),
]
Memory = Annotated[
    str | None,
    option(
        DISK,
        metavar="SIZE",
        help="Stream from disk to disk within this, as 1GiB. Default for files read in blocks that are larger.",
    ),
]
Scheduler = Annotated[
    str | None, option(DISK, metavar="ADDRESS", help="Run on a dask.distributed cluster, as tcp://host:8786.")
]
Resume = Annotated[bool, option(DISK, help="Go on with an unfinished OUT.part, or start anew.")]

Doubt = Annotated[bool, typer.Option("--doubt", help="Status doubtful where spectra are unlike skin; in memory alone.")]


def fit(
    inputs: Inputs,
    output: Output,
    plot: Plot = None,
    range: Range = None,
    model: Model = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands = None,
    free: Free = None,
    shared: Shared = None,
    channels: Responses = None,
    fwhm: Fwhm = None,
    illuminant: Light = None,
    truncate: Truncate = 0.03,
    hold: Hold = None,
    prior: Prior = None,
    parallel: Parallel = None,
    transmission: Transmission = None,
    align: Align = False,
    mask: Mask = None,
    device: Device = "auto",
    dtype: Dtype = None,
    weights: Weights = None,
    residual: Residual = "reflectance",
    huber: Huber = None,
    std: Std = False,
    noise: Noise = None,
    tv: Tv = None,
    sparsity: Sparsity = 0.0,
    tv_shading: TvShading = 0.0,
    iterations: Iterations = 50,
    tolerance: Tolerance = 1e-8,
    certify: Certify = False,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    wavelengths: Wavelengths = None,
    saturation: Saturation = None,
    scale: Scale = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    resume: Resume = True,
    doubt: Doubt = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave results that exist.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fit melanin, haemoglobin and shading to every pixel."""
    from msfit.data.channels import Channels

    if skip_existing and overwrite:
        raise InputError("--skip-existing, --overwrite: both are given; expected one of them")
    others = (white, dark, mask, channels, illuminant, prior, weights, noise, wavelengths)
    results, figures = output_paths(inputs, output, plot, others, overwrite=overwrite or skip_existing)
    drawing = {"std": std, "gap": certify, "ranges": parse_ranges("--range", range)}
    if range is not None and plot is None:
        raise InputError("range: is of the figure; give --plot too")
    given: dict[str, Any] = {
        "model": model,
        "bounds": parse_bounds(bounds),
        "bands": bands,
        "mask": mask,
        "device": device,
        "dtype": dtype,
        "weights": None if weights is None else parse_per_band("--weights", weights),
        "residual": residual,
        "huber": huber,
        "std": std,
        "noise": None if noise is None else parse_per_band("--noise", noise),
        "certify": certify,
        "tv": tv or None,
        "sparsity": sparsity,
        "tv_shading": tv_shading,
        "iterations": iterations,
        "tolerance": tolerance,
        "memory": memory,
        "scheduler": scheduler,
        "loading": loading_options(white, dark, variable, orientation, wavelengths, saturation, scale),
        "channels": None if channels is None else Channels.from_file(channels),
        "fwhm": fwhm,
        "illuminant": None if illuminant is None else parse_light(illuminant),
        "truncate": truncate,
        "hold": None if hold is None else parse_hold(hold),
        "prior": None if prior is None else parse_prior(prior),
        "transmission": transmission,
    }
    if doubt and (memory, scheduler) != (None, None):
        raise InputError("doubt: looks at a picture in memory; leave out memory and scheduler")
    if align and (parallel, memory, scheduler) != (None, None, None):
        raise InputError(
            "align: brings the bands of one picture into register in memory; leave out parallel and memory"
        )
    if illuminant == "estimate":
        if white is not None:
            raise InputError("white: gives the light, which --light estimate looks for; leave out either")
        given["loading"]["white"] = "unknown"
    named = {"free": free, "shared": shared}
    given |= {name: parse_names(f"--{name}", text) for name, text in named.items() if text is not None}
    if parallel is not None:
        door = "fit_polarised"
        if len(inputs) > 1:
            raise InputError(f"parallel: found {len(inputs)} inputs; expected one, which is its pair")
    elif tv or sparsity or tv_shading:
        door = "fit_spatial"
    else:
        door = "fit_file" if (memory, scheduler) != (None, None) else "fit"
    options = _checked(door, given, figure=plot is not None)
    failed: list[Path] = []
    with compiling_told(quiet):
        for path, result_path, figure_path in zip(inputs, results, figures, strict=True):
            try:
                if skip_existing and _is_done(result_path):
                    complain(f"{result_path}: exists; {path} is skipped")
                    continue
                if door == "fit_file" or (
                    door == "fit"
                    and plot is None
                    and not options.estimates_light
                    and not align
                    and not doubt
                    and is_large(path, options.loading, result_path)
                ):
                    result = stream(path, result_path, {**options.given(), "resume": resume}, quiet)
                else:
                    if not quiet:
                        _mention_unfinished(result_path)
                    result = _fit_one(path, door, options, quiet, parallel, align)
                    if doubt:
                        result = _doubted(path, result, quiet)
                    save_outputs(result, result_path, figure_path, drawing)
            except InputError as error:
                if len(inputs) == 1:
                    raise
                complain(f"error: {error}")
                failed.append(path)
                continue
            if not quiet:
                say(f"{result_path}: {result.summary()}")
    report_failures(failed, inputs, "inputs could not be fitted")


def _checked(door: str, given: dict[str, Any], *, figure: bool) -> FitOptions:
    """Options that are wrong for every input are reported once, before the first is read."""
    from msfit.fitting.bounds import resolve_bounds
    from msfit.fitting.devices import resolve_device
    from msfit.fitting.options import FitOptions
    from msfit.io.masks import read_mask
    from msfit.skin.models import get_model

    options = FitOptions.of(door, given)
    check_figure(options, figure)
    resolve_bounds(get_model(given["model"]), options.bounds, options.free, options.shared, options.hold)
    resolve_device(options.device)
    if options.mask not in (None, "auto", "none"):
        read_mask(options.mask)
    return options


def _fit_one(
    path: Path, door: str, options: FitOptions, quiet: bool, parallel: Path | None = None, align: bool = False
) -> FitResult:
    import msfit

    cube = msfit.load(path, **options.loading or {})
    if not quiet and cube.provenance.get("note"):
        complain(f"{path}: note: {cube.provenance['note']}")
    fitting = options.given()
    fitting.pop("loading", None)
    if align:
        try:
            aligned = msfit.align_bands(cube)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        cube = aligned.cube
        if not quiet:
            onto, farthest = cube.wavelengths[aligned.fixed], aligned.shifts.max()
            complain(f"{path}: note: bands brought onto that at {onto:g} nm, over up to {farthest:.2g} pixels")
    try:
        with progress_bar(path.name, quiet) as progress:
            pair = () if parallel is None else (msfit.load(parallel, **options.loading or {}),)
            result = getattr(msfit, door)(*pair, cube, **fitting, progress=progress)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    more = str(result.attrs["note"]).removeprefix(str(cube.provenance.get("note", ""))).removeprefix("; ")
    if not quiet and more:
        complain(f"{path}: note: {more}")
    return result


def _doubted(path: Path, result: FitResult, quiet: bool) -> FitResult:
    from msfit.skin.likeness import doubt_unlike_skin

    try:
        doubted = doubt_unlike_skin(result)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not quiet:
        complain(f"{path}: note: {doubted.attrs['unlike_skin']:.1%} of the fitted pixels are unlike skin: doubtful")
    return doubted


def _mention_unfinished(output: Path) -> None:
    """A fit in memory neither takes up nor removes what one from disk to disk has left."""
    from msfit.io.output import part_of

    if (part := part_of(output)).exists():
        complain(f"{part}: an unfinished fit, left as it is; finish it as it was begun (--memory), or delete it")


def _is_done(path: Path) -> bool:
    """Whether the result is there already; another file of that name is refused."""
    from msfit.io.existing import holds_result

    if path.exists() and not holds_result(path):
        raise InputError(f"{path}: exists, but is no result of msfit; delete it or choose another output")
    return path.exists()
