"""`msfit fit` from disk to disk: when, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msfit.cli.console import complain, progress_bar
from msfit.errors import InputError

if TYPE_CHECKING:
    from msfit.data.result import FitResult
    from msfit.fitting.options import FitOptions

# Bytes of a scene as float32 from which it is streamed unasked.
_LARGE = 2**30


def check_figure(options: FitOptions, figure: bool) -> None:
    """Refuse a figure of what is streamed, and a budget or an address that is none, before anything is read."""
    if options.scheduler is not None:
        from msfit.streaming.cluster import check_address

        check_address(options.scheduler)
    if options.memory is not None:
        from msfit.data.memory import parse_size

        parse_size(options.memory)
    if figure and (options.memory, options.scheduler) != (None, None):
        raise InputError("plot: takes the whole scene in memory; leave it out with memory and scheduler")


def is_large(path: Path, loading: Mapping[str, Any] | None, output: Path) -> bool:
    """Whether a scene that can be read in blocks does not fit into the usual budget."""
    import msfit
    from msfit.io import read_in_blocks

    if output.suffix.lower() not in (".h5", ".nc") or not read_in_blocks(path):
        return False
    return 4 * msfit.load(path, **loading or {}).values.size > _LARGE


def stream(path: Path, output: Path, options: Mapping[str, Any], quiet: bool) -> FitResult:
    """Fit one scene from disk to disk."""
    import msfit
    from msfit.io.output import part_of

    try:
        with progress_bar(path.name, quiet) as progress:
            result = msfit.fit_file(
                path,
                output,
                progress=progress,
                tell=None if quiet else lambda line: complain(f"{path}: {line}"),
                **options,
            )
    except KeyboardInterrupt:
        if not (part := part_of(output)).exists():
            raise
        raise KeyboardInterrupt(f"what is done is kept in {part}: the same command goes on from there") from None
    if not quiet and result.attrs["note"]:
        complain(f"{path}: note: {result.attrs['note']}")
    return result
