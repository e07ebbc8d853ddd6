"""What users write on the command line, turned into what the library takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msfit.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from msfit.data.prior import SkinPrior


def parse_bounds(text: str) -> str | dict[str, tuple[float, float]]:
    """``wide``, ``paper``, or ``f_mel=0:0.4,f_blood=0.02:0.07``.

    Examples
    --------
    >>> parse_bounds("f_mel=0:0.4,f_blood=0.02:0.07")
    {'f_mel': (0.0, 0.4), 'f_blood': (0.02, 0.07)}
    """
    if "=" not in text:
        return text
    return parse_ranges("--bounds", text)


def parse_ranges(option: str, text: str | None) -> dict[str, tuple[float, float]]:
    """``f_mel=0:0.4,f_blood=0.02:0.07``; nothing where nothing is given.

    Examples
    --------
    >>> parse_ranges("--range", "f_mel=0:0.4")
    {'f_mel': (0.0, 0.4)}
    """
    ranges: dict[str, tuple[float, float]] = {}
    for part in text.split(",") if text is not None else ():
        name, _, pair = part.partition("=")
        numbers = _numbers(pair)
        if numbers is None or len(numbers) != 2:
            raise InputError(f"{option}: found {part!r}; expected NAME=LOW:HIGH, as in f_mel=0:0.4,f_blood=0.02:0.07")
        if name.strip() in ranges:
            raise InputError(f"{option}: {name.strip()} is given twice; give each parameter once")
        ranges[name.strip()] = (numbers[0], numbers[1])
    return ranges


def parse_hold(text: str) -> dict[str, float]:
    """``i_s=0,i_d=1``.

    Examples
    --------
    >>> parse_hold("i_s=0,i_d=1")
    {'i_s': 0.0, 'i_d': 1.0}
    """
    held: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        number = _numbers(value)
        if number is None or len(number) != 1 or name.strip() in held:
            raise InputError(f"--hold: found {part!r}; expected NAME=VALUE, each name once, as in i_s=0")
        held[name.strip()] = number[0]
    return held


def parse_prior(text: str) -> str | dict[str, tuple[float, float]] | SkinPrior:
    """``archive``, ``archive-contact``, ``f_mel=0.1:0.05,f_blood=0.03:0.01``, or an .npz file.

    Examples
    --------
    >>> parse_prior("f_mel=0.1:0.05")
    {'f_mel': (0.1, 0.05)}
    """
    from msfit.data.prior import SkinPrior

    if Path(text).is_file():
        return SkinPrior.from_file(text)
    if "=" not in text:
        return text
    pairs: dict[str, tuple[float, float]] = {}
    for part in text.split(","):
        name, _, pair = part.partition("=")
        numbers = _numbers(pair)
        if numbers is None or len(numbers) != 2 or name.strip() in pairs:
            raise InputError(f"--prior: found {part!r}; expected NAME=MEAN:SD, each name once, as in f_mel=0.1:0.05")
        pairs[name.strip()] = (numbers[0], numbers[1])
    return pairs


def parse_light(text: str) -> str | tuple[np.ndarray, np.ndarray]:
    """Name of a light, or a CSV file with wavelength [nm] and power."""
    from msfit.colour.illuminants import illuminant

    if not Path(text).is_file():
        return text
    spectrum = illuminant(text)
    return spectrum.wavelengths, spectrum.values


def parse_per_band(option: str, text: str) -> float | dict[tuple[float, float], float] | np.ndarray:
    """A number, numbers for ranges of wavelengths as ``400:450=0.5,650:700=0``, or a file with one number a band.

    Examples
    --------
    >>> parse_per_band("weights", "400:450=0.5,650:700=0")
    {(400.0, 450.0): 0.5, (650.0, 700.0): 0.0}
    """
    if "=" not in text:
        number = _numbers(text)
        return number[0] if number is not None and len(number) == 1 else _numbers_in_file(option, text)
    ranges = {}
    for part in text.split(","):
        ends, value = (_numbers(piece) for piece in (part.split("=") if part.count("=") == 1 else ("", "")))
        if ends is None or value is None or len(ends) != 2 or len(value) != 1:
            raise InputError(f"{option}: found {part!r}; expected A:B=NUMBER in nm, as in 400:450=0.5,650:700=0")
        ranges[ends[0], ends[1]] = value[0]
    return ranges


def _numbers_in_file(option: str, path: str) -> np.ndarray:
    import numpy as np

    kind = "a number, ranges as 400:450=0.5, or a text or .npy file with one number a band"
    if not Path(path).is_file():
        raise InputError(f"{option}: found {path!r}, which is no file; expected {kind}")
    try:
        found = np.load(path, allow_pickle=False) if path.lower().endswith(".npy") else np.loadtxt(path, delimiter=",")
    except (OSError, ValueError) as error:
        raise InputError(f"{option}: {path} cannot be read; expected {kind}") from error
    return np.asarray(found).ravel()


def parse_wavelengths(text: str) -> list[float]:
    """``400:720:10``, ends included, or a file with one number a line [nm].

    Examples
    --------
    >>> parse_wavelengths("400:420:10")
    [400.0, 410.0, 420.0]
    """
    from msfit.io.text import read_columns

    numbers = _numbers(text)
    if numbers is not None and len(numbers) == 3:
        first, last, step = numbers
        count = round((last - first) / step) + 1 if step else 0
        if not 1 <= count <= 100_000 or abs(first + (count - 1) * step - last) > 1e-6 * abs(step):
            raise InputError(f"--wavelengths: found {text!r}; expected FIRST:LAST:STEP with LAST a step, as 400:720:10")
        return [round(first + k * step, 9) for k in range(count)]
    if not Path(text).is_file():
        raise InputError(f"--wavelengths: found {text!r}, which is no file; expected FIRST:LAST:STEP [nm], or a file")
    try:
        return [float(number) for number in read_columns(Path(text), 1).ravel()]
    except InputError as error:
        raise InputError(f"--wavelengths: {text}: {error}") from None


def parse_names(option: str, text: str) -> tuple[str, ...]:
    """``f_mel,f_blood,saturation`` as separate names, one at least.

    Examples
    --------
    >>> parse_names("free", "f_mel, saturation")
    ('f_mel', 'saturation')
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"{option}: found {text!r}; expected names, as f_mel,f_blood: see 'msfit models'")
    return names


def check_apart(outputs: list[Path], inputs: list[Path]) -> None:
    """Make sure that no output would overwrite an input or another output."""
    from msfit.io.output import check_no_input

    for path in outputs:
        check_no_input(path, inputs)
    # not Path.resolve, which raises of links that lead to themselves
    read: set[str] = {os.path.realpath(path) for path in inputs}
    seen: set[str] = set()
    for path in outputs:
        if (real := os.path.realpath(path)) in read | seen:
            kind = "is an input" if real in read else "would be written twice"
            raise InputError(f"-o: {path} {kind}; choose another folder or other names")
        seen.add(real)


def _numbers(text: str) -> list[float] | None:
    try:
        found = [float(piece) for piece in text.split(":")]
    except ValueError:
        return None
    return found if all(abs(number) < 1e9 for number in found) else None
