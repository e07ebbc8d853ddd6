"""Everything that a GPU has to prove, in one command and a given time.

Usage: python -m benchmarks.gpu [--minutes 8] [--out DIR] [--train] [--rehearse] [--parts NAME ...]
       python -m benchmarks.gpu --join DIR/compact.safetensors.json

Parts in order of importance, each within its share of the time; what a part leaves over goes to those behind it.
Figures are written to DIR/gpu.json as they are found, so that nothing is lost when the time is over. It runs from a
checkout without installation (PYTHONPATH=.) and says in a line what a part lacks.

equality   the kernel against the CPU, a million pixels of each kind: worst difference of every map, statuses
rates      pixels a second on the device beside bandwidth and arithmetic, torch's path and batched Adam
hosts      pixels a second from the host's memory and from files, beside what the link carries
growth     from ten thousand to a thousand million pixels, over bands and channels
proofs     certificates and standard deviations
networks   training steps a second of both networks, samples a second
train      with --train and the time left: `compact` and `paper` trained on the same samples and scored on the
           stand-ins, their weights in pieces of at most 15 MB

--rehearse goes through every part on the CPU at a thousandth of its size, the kernel in Triton's interpreter where it
is compared. Without a GPU and without --rehearse it says so and ends with 2.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

#: Name, file, share of the time.
PARTS = (
    ("card", "card", 4),
    ("equality", "equality", 28),  # four kernels are compiled in it, and the CPU's
    ("rates", "rates", 20),
    ("hosts", "hosts", 14),
    ("growth", "growth", 16),
    ("proofs", "proofs", 8),
    ("networks", "networks", 12),
)
_OVER = 1.2  # of its time, and some seconds, after which a part is ended whatever it is at
_GRACE = 10.0


class OverTimeError(Exception):
    """A part has used up its time."""


def main(arguments: list[str] | None = None) -> int:
    """Run the parts; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--parts", nargs="+", choices=[name for name, _, _ in PARTS], metavar="NAME")
    parser.add_argument("--train", action="store_true", help="train both networks with the time that is left")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, a thousandth of everything")
    parser.add_argument("--join", type=Path, metavar="INDEX", help="put weights that came in pieces together")
    chosen = parser.parse_args(arguments)
    if chosen.join is not None:
        return _join(chosen.join)
    if chosen.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is loaded
    if why := _nothing_to_run_on(chosen.rehearse):
        print(why, file=sys.stderr)
        return 2
    run(chosen.out, 60 * chosen.minutes, chosen.rehearse, chosen.parts, chosen.train)
    return 0


def run(folder: Path, seconds: float, rehearse: bool, names: list[str] | None, train: bool) -> None:
    """Go through the parts of those names, or all."""
    from benchmarks.gpu.report import Report

    end, report = time.monotonic() + seconds, Report(folder)
    parts = [part for part in PARTS if names is None or part[0] in names]
    parts += [("train", "networks", 30)] if train else []
    for number, (name, file, share) in enumerate(parts):
        shares = sum(part[2] for part in parts[number:])
        budget = (end - time.monotonic()) * share / shares
        if budget < 1:
            report.add(name, "left out", "no time was left")
            continue
        began = time.monotonic()
        _part(report, name, file, budget, "cpu" if rehearse else "cuda")
        report.add(name, "seconds", round(time.monotonic() - began, 1))


def _part(report: Any, name: str, file: str, budget: float, device: str) -> None:
    """The figures of one part, each of which may fail by itself."""
    from benchmarks.gpu.site import Site, missing

    deadline = time.monotonic() + budget

    def over(*_: Any) -> None:
        raise OverTimeError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, _OVER * budget + _GRACE)
    try:
        module = importlib.import_module(f"benchmarks.gpu.{file}")
        site = Site(device, deadline)
        for what, figure in module.train(site, report.folder) if name == "train" else module.measure(site):
            report.add(name, what, _figure(figure))
            if time.monotonic() > deadline:
                report.add(name, "cut", f"its {budget:.0f} s are over")
                break
    except OverTimeError:
        report.add(name, "cut", f"ended after its {budget:.0f} s were over")
    except Exception as error:  # whatever it is, the other parts go on
        report.add(name, "ended", missing(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _tidy(device)


def _figure(figure: Any) -> Any:
    """A figure, or what kept it from being taken."""
    from benchmarks.gpu.site import missing

    if not callable(figure):
        return figure
    try:
        return figure()
    except OverTimeError:
        raise
    except Exception as error:
        return missing(error)


def _nothing_to_run_on(rehearse: bool) -> str:
    """Why nothing can be run at all; empty where it can."""
    try:
        import torch
    except ImportError:
        return "torch: missing; expected it, numpy and scipy at least"
    if rehearse or torch.cuda.is_available():
        return ""
    return "GPU: found none that torch can use; expected one, or --rehearse for a try on the CPU"


def _tidy(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()


def _join(index: Path) -> int:
    from benchmarks.gpu.pieces import join

    try:
        print(join(index))
    except (OSError, ValueError, KeyError) as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
