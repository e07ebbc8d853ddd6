"""Sphinx: `make docs` builds the site from these pages, the docstrings and the examples; a warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from figures import filled  # noqa: E402

from msfit import __version__  # noqa: E402

project = "msfit"
author = "msfit developers"
project_copyright = "msfit developers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "msfit"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# names of models, options and files stand in backquotes as well as those of Python
default_role = "code"

autodoc_typehints = "none"  # numpydoc's sections say types, shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# examples are run by the build, one after the other, and shown with their figures
plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 110)]
plot_basedir = str(ROOT / "examples")

# `make links` asks every other machine that a page names; links within the site are held by the build and by tests
linkcheck_anchors = False
linkcheck_timeout, linkcheck_retries = 20, 2
# a page that does not answer is told as broken; a DOI leads to its publisher's page by design
linkcheck_report_timeouts_as_broken = True
linkcheck_allowed_redirects = {r"https://doi\.org/.*": r"https://.*"}


def setup(app):
    """Figures of pages are those of benchmarks/results."""
    app.connect("source-read", lambda _, __, source: source.__setitem__(0, filled(source[0])))
