"""`biofacenet train`: a network from its configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from msfit.cli.console import say
from msfit.cli.options import Quiet


def train(
    config: Annotated[
        str, typer.Option(metavar="FILE|NAME", help="A .toml file, or the name of one that ships.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for weights, logs and panels.")],
    afresh: Annotated[bool, typer.Option("--afresh", help="Begin anew where OUT holds a checkpoint.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a network; goes on from the checkpoint in OUT, if there is one."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from biofacenet.training.config import read_config, read_sections

    source, sections = read_sections(config)
    descend: Callable[..., Any]
    settings: Any
    if sections.get("task") == "frontal":
        from biofacenet.turning.config import built_config as turning_config
        from biofacenet.turning.training import train_frontal

        settings, descend = turning_config(source, sections), train_frontal
    elif "task" in sections:
        from biofacenet.restoration.config import built_config as restoration_config
        from biofacenet.restoration.training import train_restorer

        settings, descend = restoration_config(source, sections), train_restorer
    else:
        from biofacenet.training.run import train as train_network

        settings, descend = read_config(config), train_network
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    unseen = quiet or sys.stderr is None or not sys.stderr.isatty()
    # cleared at the end: an error is one line
    with Progress(*columns, console=Console(stderr=True), disable=unseen, transient=True) as bar:
        task = bar.add_task(settings.name, total=None)

        def show(step: int, steps: int, message: str) -> None:
            bar.update(task, completed=step, total=steps, description=f"{settings.name}: {message}")

        training = descend(settings, output, resume=not afresh, progress=show).training
    if not quiet:
        say(f"{output / 'best.safetensors'}: {training['steps']:,} steps in {training['seconds'] / 60:.0f} minutes")
