"""Is the data good? Faults of a scene that a fit would not tell of, what to do about them, and doing it.

In: a cube, before anything is decided on it. Out: a `Report`: one `Finding` a fault, with the bands that it names, and
options of a fit that leave it out or weigh it down. `sample` reads what is looked at, `bands` and `picture` measure it,
`check` compares with what good scenes show.
"""

from __future__ import annotations

from msfit.quality.check import check as check
from msfit.quality.report import Finding as Finding
from msfit.quality.report import Report as Report
