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
