"""`msfit fit` from disk to disk: when, and how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msfit.cli.arguments import read_mask
from msfit.cli.console import complain, progress_bar
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.data.result import FitResult

# Bytes of a scene as float32 from which it is streamed unasked.
_LARGE = 2**30


def streaming_options(
    memory: str | None, scheduler: str | None, resume: bool, plot: Path | None
) -> dict[str, Any] | None:
    """Arguments of `fit_file` beside those of `fit`; None where a figure wants the whole scene in memory."""
    from msfit.data.memory import parse_size
    from msfit.streaming.cluster import check_address

    if scheduler is not None:
        check_address(scheduler)
    if plot is not None:
        if memory or scheduler:
            raise InputError("--plot: takes the whole scene in memory; leave it out with --memory and --scheduler")
        return None
    if memory is not None:
        parse_size(memory)
    return {"memory": memory, "scheduler": scheduler, "resume": resume}


def is_large(path: Path, loading: dict[str, Any], output: Path) -> bool:
    """Whether a scene that can be read in blocks does not fit into the usual budget."""
    import msfit
    from msfit.io import read_in_blocks

    if output.suffix.lower() not in (".h5", ".nc") or not read_in_blocks(path):
        return False
    return 4 * msfit.load(path, **loading).values.size > _LARGE


def stream(
    path: Path, output: Path, loading: dict[str, Any], mask: str | None, settings: dict[str, Any], quiet: bool
) -> FitResult:
    """Fit one scene from disk to disk."""
    import msfit

    chosen = mask if mask in (None, "auto", "none") else read_mask(mask)
    with progress_bar(path.name, quiet) as progress:
        result = msfit.fit_file(
            path,
            output,
            loading=loading,
            mask=chosen,
            progress=progress,
            tell=None if quiet else lambda line: complain(f"{path}: {line}"),
            **settings,
        )
    if not quiet and result.attrs["note"]:
        complain(f"{path}: note: {result.attrs['note']}")
    return result
