"""The command line: `msfit fit`, `check`, `info`, `render`, `view`, `report`, `design`, `synth`, `fetch`,
`models` and `demo`.

In: arguments, of which `options` and `arguments` make those of the library. Out: files, one line a fact, and an exit
status: 0 done; 2 the input or the arguments are wrong; 130 interrupted; 1 a fault of msfit itself.
"""

from __future__ import annotations

import os
import signal
import sys

# All else is loaded once Ctrl-C is taken care of; this name is as type checkers take it, without `typing`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import typer

_MOMENT = 0.02  # s
_DONE, _BUG, _WRONG_INPUT, _INTERRUPTED, _TERMINATED = 0, 1, 2, 130, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of msfit.

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
        from msfit.cli.app import app

        return app

    return run("msfit", commands, arguments)


def run(program: str, commands: Callable[[], typer.Typer], arguments: Sequence[str] | None = None) -> int:
    """Run a command of any program of this project: its refusals are one line, its exit statuses those above.

    Parameters
    ----------
    program : str
        Its name, which begins each line that it complains with.
    commands : callable
        Gives the program's commands; what they load is loaded then.
    arguments : sequence of str, optional
        Those of the process, if absent.

    Returns
    -------
    int
        The exit status.
    """
    # a process that was started to ignore Ctrl-C goes on doing so
    loading = arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if loading:
        signal.signal(signal.SIGINT, lambda *_: _leave(program))
    import warnings

    from msfit.cli.console import complain, flush, speak_as
    from msfit.errors import InputError

    def loaded() -> typer.Typer:
        found = commands()
        if loading:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return found

    speak_as(program)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal that lacks a sign gets a question mark, not a traceback
            stream.reconfigure(errors="replace")
    if arguments is None:
        arguments = sys.argv[1:]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
        if not sys.warnoptions:
            # they speak to programmers, between the lines that speak to the user
            warnings.simplefilter("ignore")
        sys.unraisablehook = _unraisable
    try:
        status = _run(program, loaded, list(arguments) or ["--help"])
    except InputError as error:
        complain(f"error: {error}")
        status = _WRONG_INPUT
    except KeyboardInterrupt as stopped:
        complain("; ".join(["interrupted", *map(str, stopped.args)]))
        status = _INTERRUPTED
    except BrokenPipeError:
        # the reader of the help or a list has seen enough
        status = _DONE
    except OSError as error:
        # what the system refuses is no fault of the program: names that are too long, links that lead to themselves
        where = f"{str(error.filename)[:200]}: " if error.filename else ""
        complain(f"error: {where}{(error.strerror or str(error)).lower()}; choose another file or folder")
        status = _WRONG_INPUT
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):  # torch raises a RuntimeError
            complain("error: not enough memory; take a smaller picture, or fewer bands")
            status = _WRONG_INPUT
        else:
            status = _fault(program, error)
    flush()
    return status


def _unraisable(problem: Any) -> None:
    """What Python would print of an exception that ends nowhere, in callbacks and as objects are let go.

    Ctrl-C that comes while one runs would be lost: it is raised again a moment later. All else speaks to programmers.
    """
    if problem.exc_type is not None and issubclass(problem.exc_type, KeyboardInterrupt):
        import threading

        # a signal, which also ends what waits in the system
        threading.Timer(_MOMENT, os.kill, (os.getpid(), signal.SIGINT)).start()
    elif os.environ.get("MSFIT_DEBUG") == "1":
        sys.__unraisablehook__(problem)


def _leave(program: str) -> None:
    """Stop at once, where nothing has begun: an exception would end up in whatever is being imported."""
    try:
        os.write(2, f"{program}: interrupted\n".encode())
    finally:
        os._exit(_INTERRUPTED)


def _fault(program: str, error: Exception) -> int:
    import traceback

    from msfit.cli.console import complain

    if os.environ.get("MSFIT_DEBUG") == "1":
        traceback.print_exc()
    complain(
        f"this is a fault of {program}, please report it: {type(error).__name__}: {error} "
        "(run again with MSFIT_DEBUG=1 for the traceback to send along)"
    )
    return _BUG


def _run(program: str, commands: Callable[[], typer.Typer], arguments: list[str]) -> int:
    """Run a command, with typer's own ways of ending turned into a status."""
    import typer

    from msfit.errors import InputError

    command = typer.main.get_command(commands())
    try:
        with command.make_context(program, arguments) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # usage errors: their class lives in click, of which typer has its own copy in some versions
        if not hasattr(error, "format_message"):
            raise
        usage = getattr(error, "ctx", None)
        where = usage.command_path if usage is not None else program
        raise InputError(f"{_one_line(error.format_message())} See '{where} --help'.") from error
    return _DONE


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "?")) else f"{line}."
