"""The one exception that means: what came in is wrong, not the program."""


class InputError(ValueError):
    """Input or arguments cannot be used as they are.

    The message is one line that names the file or argument, what was found, what was expected and
    what to do. The command line prints it and exits with status 2.
    """


def said(error: Exception) -> str:
    """What an exception of some library says first, on one line, for quoting in an `InputError`."""
    first, *_ = str(error).strip().split("\n\n")  # advice or a traceback may follow
    return " ".join(first.split()) or type(error).__name__


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
