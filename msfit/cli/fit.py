"""`msfit fit`: scenes in, parameter maps out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msfit.cli.arguments import choose_mask, parse_bounds, parse_names, parse_per_band, read_mask
from msfit.cli.console import complain, progress_bar, say
from msfit.cli.options import DEFAULT_MODEL, Dark, Model, Orientation, Quiet, Variable, White, loading_options
from msfit.cli.priors import Sparsity, Tv, TvShading, with_priors
from msfit.cli.stream import is_large, stream, streaming_options
from msfit.cli.targets import output_paths, report_failures, save_outputs
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.data.result import FitResult

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT", help="Scenes or spectra.", show_default=False)]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="OUT", help="Result: .h5, .nc, .mat or .npz; a folder for several inputs."),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="PANEL", help="Figure of the maps: .png, .pdf, .svg or .jpg; a folder for several inputs."),
]
Bounds = Annotated[str, typer.Option(help="wide, paper, or as f_mel=0:0.4,f_blood=0.02:0.07.")]
Bands = Annotated[
    str | None,
    typer.Option(metavar="A:B[:STEP]", help="Bands [nm], ends included; with a step: resampled. Default: the model's."),
]
Free = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Parameters to fit, as f_mel,f_blood,saturation: see 'msfit models'."),
]
Shared = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Parameters to fit with one value for the whole picture.", show_default=False),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="auto|FILE|none", help="Pixels to fit: skin, bright ones of a picture, all. Default: as stored."
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="float32 (much the faster) or float64. Default: the data's.", show_default=False),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Stream from disk to disk within this, as 1GiB. Default for files read in blocks that are larger.",
    ),
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on a dask.distributed cluster, as tcp://host:8786.")
]

Weights = Annotated[
    str | None,
    typer.Option(metavar="A:B=W,...|FILE", help="Weights of bands [nm], 1 elsewhere; or a file with one a band."),
]
Noise = Annotated[
    str | None,
    typer.Option(
        metavar="SIGMA|A:B=SIGMA,...|FILE", help="Known noise of a band, for --std. Default: from the residual."
    ),
]


def fit(
    inputs: Inputs,
    output: Output,
    plot: Plot = None,
    model: Model = DEFAULT_MODEL,
    bounds: Bounds = "wide",
    bands: Bands = None,
    free: Free = None,
    shared: Shared = None,
    mask: Mask = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    dtype: Dtype = None,
    weights: Weights = None,
    residual: Annotated[str, typer.Option(help="What is squared: reflectance, or radiance.")] = "reflectance",
    huber: Annotated[
        float | None, typer.Option(metavar="K", help="Residual beyond which a band counts linearly (Huber's loss).")
    ] = None,
    std: Annotated[bool, typer.Option("--std", help="Standard deviations and correlations as well.")] = False,
    noise: Noise = None,
    tv: Tv = 0.0,
    sparsity: Sparsity = 0.0,
    tv_shading: TvShading = 0.0,
    certify: Annotated[bool, typer.Option("--certify", help="Prove that each minimum is the global one.")] = False,
    white: White = None,
    dark: Dark = None,
    variable: Variable = None,
    orientation: Orientation = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    resume: Annotated[bool, typer.Option(help="Go on with an unfinished OUT.part, or start anew.")] = True,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave results that exist.")] = False,
    quiet: Quiet = False,
) -> None:
    """Fit melanin, haemoglobin and shading to every pixel."""
    results, figures = output_paths(inputs, output, plot)
    loading = loading_options(white, dark, variable, orientation)
    named = {"free": free, "shared": shared}
    parameters = {name: parse_names(f"--{name}", text) for name, text in named.items() if text is not None}
    fitting = {
        "model": model,
        "bounds": parse_bounds(bounds),
        "bands": bands,
        "device": device,
        "dtype": dtype,
        "weights": None if weights is None else parse_per_band("--weights", weights),
        "residual": residual,
        "huber": huber,
        "std": std,
        "noise": None if noise is None else parse_per_band("--noise", noise),
        **parameters,
        "certify": certify,
    }
    _check_before(model, fitting["bounds"], device, mask, **parameters)
    joint = with_priors(fitting, tv, sparsity, tv_shading, memory=memory, scheduler=scheduler)
    streaming = streaming_options(memory, scheduler, resume, plot)
    failed: list[Path] = []
    for path, result_path, figure_path in zip(inputs, results, figures, strict=True):
        try:
            if skip_existing and _is_done(result_path):
                complain(f"{result_path}: exists; {path} is skipped")
                continue
            if (
                streaming is not None
                and joint is None
                and (memory or scheduler or is_large(path, loading, result_path))
            ):
                result = stream(path, result_path, loading, mask, fitting | streaming, quiet)
                if not quiet:
                    say(f"{result_path}: {result.summary()}")
                continue
            if not quiet:
                _mention_unfinished(result_path)
            result = _fit_one(path, loading, mask, joint or fitting, quiet)
            save_outputs(result, result_path, figure_path)
        except InputError as error:
            if len(inputs) == 1:
                raise
            complain(f"error: {error}")
            failed.append(path)
            continue
        if not quiet:
            say(f"{result_path}: {result.summary()}")
    report_failures(failed, inputs, "inputs could not be fitted")


def _fit_one(path: Path, loading: dict[str, Any], mask: str | None, fitting: dict[str, Any], quiet: bool) -> FitResult:
    import msfit

    cube = msfit.load(path, **loading)
    if not quiet and cube.provenance.get("note"):
        complain(f"{path}: note: {cube.provenance['note']}")
    try:
        cube = choose_mask(cube, mask)
        with progress_bar(path.name, quiet) as progress:
            fit = msfit.fit_spatial if "tv" in fitting else msfit.fit
            result = fit(cube, **fitting, progress=progress)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not quiet and result.attrs["note"] != cube.provenance.get("note", ""):
        complain(f"{path}: note: {result.attrs['note']}")
    return result


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


def _check_before(model: str, bounds: Any, device: str, mask: str | None, **parameters: tuple[str, ...]) -> None:
    """Arguments that are wrong for every input are reported once, before the first is read."""
    from msfit.fitting.bounds import resolve_bounds
    from msfit.fitting.plan import torch_device
    from msfit.skin.models import get_model

    resolve_bounds(get_model(model), bounds, **parameters)
    torch_device(device)
    if mask not in (None, "auto", "none"):
        read_mask(mask)
