"""The one exception that means: what came in is wrong, not the program; and what a call that is wrong is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class InputError(ValueError):
    """Input or arguments cannot be used as they are.

    The message is one line that names the file or argument, what was found, what was expected and
    what to do. The command line prints it and exits with status 2.
    """


class NoIlluminant(InputError):
    """Counts or radiance without their light: sound data that want a white reference."""


def said(error: Exception) -> str:
    """What an exception of some library says first, on one line, for quoting in an `InputError`."""
    first, *_ = str(error).strip().split("\n\n")  # advice or a traceback may follow
    return " ".join(first.split()) or type(error).__name__


def unknown_keyword(
    function: str, name: str, known: Iterable[str], nearest_of: Iterable[str] | None = None
) -> TypeError:
    """What Python says of a keyword that a function does not have, with the nearest that it (or a sibling) has.

    Examples
    --------
    >>> str(unknown_keyword("load", "varible", ["variable", "white"]))
    "load() got an unexpected keyword argument 'varible'; did you mean 'variable'?"
    """
    import difflib

    known = list(known)
    near = difflib.get_close_matches(name, known if nearest_of is None else list(nearest_of), 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
    return TypeError(f"{function}() got an unexpected keyword argument {name!r}; {hint}")


def names_nearest(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A public function, whose unknown keywords are refused with the nearest that it has."""
    import functools

    code = function.__code__
    known = [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]

    @functools.wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for name in kwargs:
            if name not in known:
                raise unknown_keyword(function.__name__, name, known)
        return function(*args, **kwargs)

    return checked


class InputWarning(UserWarning):
    """Input can be used, but a user should look at it: bands turned round, a unit that may be percent, a bad band.

    The same lines go to the logger ``msfit``, and stand in ``attrs["note"]`` of a result.
    """


def warn(message: str) -> None:
    """Warn of what a user may not expect, and log it."""
    import logging
    import warnings

    logger = logging.getLogger("msfit")
    if not logger.handlers:  # or it would print by itself what is shown as a warning
        logger.addHandler(logging.NullHandler())
    logger.warning(message)
    warnings.warn(message, InputWarning, stacklevel=_outside())


def _outside() -> int:
    """How far up the first caller is that is no part of msfit."""
    import sys

    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "msfit":
        level, frame = level + 1, frame.f_back
    return level
