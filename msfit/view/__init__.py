"""A page to look at a result with: one HTML file that opens offline, without Python.

In: a result, and the scene that it is of where spectra are to be compared with their fit. Out: `Page`, a text that is
shown in a notebook or saved. The page asks nothing of any other machine, and its own policy forbids it to.
"""

from __future__ import annotations

from msfit.view.page import Page as Page
from msfit.view.page import make_page as make_page
