"""The command line: `biofacenet predict`, `edit`, `view`, `unwrap`, `frontal`, `restore`, `train`, and two for data.

In: arguments. Out: files, one line a fact, and an exit status: 0 done; 2 the input or the arguments are wrong; 130
interrupted; 1 a fault of biofacenet itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msfit.cli import run

if TYPE_CHECKING:
    import typer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of biofacenet.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process, if absent.

    Returns
    -------
    int
        The exit status.
    """

    def commands() -> typer.Typer:
        from biofacenet.cli.app import app

        return app

    return run("biofacenet", commands, arguments)
