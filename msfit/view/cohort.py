"""Several results as one document: a table by subject and site, flags of quality, small maps with shared colours."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from msfit.data.result import MAPS, FitResult, Status, flagged
from msfit.data.status import AT_BOUND
from msfit.errors import InputError
from msfit.metrics.clinical import ita_class, skin_colour
from msfit.skin.held_out import held_out_figures
from msfit.view.document import document

if TYPE_CHECKING:
    import pandas

# Beyond these shares of a row's pixels, and this many times what 95 % of measured skin stays below, a row is flagged.
_AT_BOUND, _NOT_CONVERGED, _NO_DIFFUSE, _DOUBTFUL, _RMSE_TIMES = 0.2, 0.01, 0.05, 0.2, 1.5
_FEW = 20  # pixels of a picture
_COLOURED = 2000  # pixels of a row that L*a*b* is computed of


@dataclass(frozen=True, eq=False)
class Row:
    """One subject and site.

    Attributes
    ----------
    subject, site : str
    values : dict
        Number of pixels, medians and 5th and 95th percentiles of the maps, L*a*b*, typology angle and its class.
    flags : tuple of str
        What makes the numbers doubtful; empty where nothing does.
    """

    subject: str
    site: str
    values: dict[str, Any]
    flags: tuple[str, ...]


def cohort(results: Mapping[str, FitResult]) -> pandas.DataFrame:
    """Results of several subjects as a table.

    Parameters
    ----------
    results : mapping of FitResult
        By name. A picture is a row; a list of spectra a row for each value of its coordinates `subject` and `site`,
        where it has them.

    Returns
    -------
    pandas.DataFrame
        Indexed by subject (the name of the result where it has no such coordinate) and site ("" likewise); n, median
        and 5th and 95th percentile of f_mel, f_blood, i_d, i_s and rmse [1], L*, a*, b*, ITA [degrees] and its class of
        the median skin under D65, NaN where the bands do not hold visible light; flags in words.

    Examples
    --------
    >>> import msfit
    >>> nm = np.arange(400.0, 701.0, 10.0)
    >>> visit = msfit.fit(0.8 * msfit.reflectance(np.full((6, 6), 0.1), 0.03, nm) + 0.04, nm)
    >>> table = cohort({"ann": visit})
    >>> table.loc[("ann", ""), "f_mel"].round(4), table.loc[("ann", ""), "flags"]
    (np.float64(0.1), '')
    """
    import pandas

    rows = _rows(results)
    table = pandas.DataFrame([{**row.values, "flags": "; ".join(row.flags)} for row in rows])
    table.index = pandas.MultiIndex.from_tuples([(row.subject, row.site) for row in rows], names=["subject", "site"])
    return table


def make_report(results: Mapping[str, FitResult], *, title: str = "msfit") -> str:
    """The table of `cohort`, and small maps of the pictures with the colours of all alike, as HTML without scripts.

    Parameters
    ----------
    results : mapping of FitResult
        By name.
    title : str

    Returns
    -------
    str
        One file, that asks nothing of other machines.
    """
    table = cohort(results)
    columns = [name for name in table.columns if not name.endswith((" 5 %", " 95 %"))]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("subject", "site", *columns))
    body = "".join(_table_row(index, row, columns) for index, row in table.iterrows())
    doubtful = int((table["flags"] != "").sum())
    models = ", ".join(sorted({result.model for result in results.values()}))
    summary = f"{len(table)} rows of {len(results)} results, {models}; {doubtful} with flags"
    pictures = "".join(_maps(name, result) for name, result in results.items() if len(result.shape) == 2)
    shown = f"""<h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<p>Medians, with the 5th and 95th percentile below; L*a*b* and typology angle (ITA) of the median skin under D65.</p>
{_scale() if pictures else ""}{pictures}
"""
    return document(shown, title=title, style=_STYLE)


_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1rem; }
h1 { font-size: 1.25rem; } h2 { font-size: 1rem; margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .5rem; border-bottom: 1px solid #8886; text-align: right; vertical-align: top; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2), th:last-child, td.words { text-align: left; }
td small { display: block; opacity: .75; } td.words { max-width: 24rem; }
.wide { overflow-x: auto; } .maps { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; } img { display: block; max-width: 100%; image-rendering: pixelated; background: #8882; }
figcaption { font-size: .85rem; }
"""
_RANGES = {"f_mel": (0.0, 0.43), "f_blood": (0.0, 0.07), "i_d": (0.0, 1.5), "i_s": (0.0, 0.3), "rmse": (0.0, 0.03)}
_LARGEST = 180  # pixels along the longer side of a small map


def _rows(results: Mapping[str, FitResult]) -> list[Row]:
    if not results:
        raise InputError("results: none given; expected one or more")
    rows = []
    for name, result in results.items():
        for subject, site, chosen in _groups(name, result):
            rows.append(Row(subject, site, _values(result, chosen), tuple(_flags(result, chosen))))
    return rows


def _groups(name: str, result: FitResult) -> Iterable[tuple[str, str, np.ndarray]]:
    """Subject, site and indices of pixels of the flat maps."""
    every = np.arange(result.status.size)
    coords = {} if result.axes is None else result.axes.coords
    labels = [coords[key] for key in ("subject", "site") if key in coords]
    if len(result.shape) == 2 or not labels:
        return [(name, "", every)]
    words = {
        key: np.array([_word(value) for value in np.asarray(coords[key][1]).tolist()]) if key in coords else None
        for key in ("subject", "site")
    }
    subjects, sites = words["subject"], words["site"]
    pairs = [
        (name if subjects is None else str(subjects[k]), "" if sites is None else str(sites[k])) for k in every.tolist()
    ]
    return [(*pair, np.array([k for k in every if pairs[k] == pair])) for pair in dict.fromkeys(pairs)]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(result: FitResult, chosen: np.ndarray) -> dict[str, Any]:
    fitted = np.asarray(result.fitted).ravel()[chosen]
    values: dict[str, Any] = {"n": int(fitted.sum())}
    for name in (*MAPS, *result.extra):
        known = np.asarray(result.map(name), np.float64).ravel()[chosen]
        known = known[np.isfinite(known)]
        low, middle, high = np.percentile(known, (5, 50, 95)) if known.size else (np.nan,) * 3
        values |= {name: middle, f"{name} 5 %": low, f"{name} 95 %": high}
    return values | _colour(result, chosen)


def _colour(result: FitResult, chosen: np.ndarray) -> dict[str, Any]:
    """L*a*b* and typology angle of the median skin."""
    unknown = {"L*": np.nan, "a*": np.nan, "b*": np.nan, "ITA": np.nan, "class": ""}
    f_mel = np.asarray(result.f_mel).ravel()[chosen]
    lit = chosen[np.isfinite(f_mel)]
    if lit.size == 0:
        return unknown
    lit = lit[:: max(1, lit.size // _COLOURED)]
    try:
        skin = np.median(result.skin(np.unravel_index(lit, result.shape)), axis=0)
        found = skin_colour(skin[None], result.wavelengths)
    except InputError:  # bands that make no colours, or a model that is not registered
        return unknown
    light, red, yellow = (float(value) for value in np.asarray(found.lab)[0])
    angle = float(np.asarray(found.ita)[0])
    return {"L*": light, "a*": red, "b*": yellow, "ITA": angle, "class": str(ita_class([angle])[0])}


def _flags(result: FitResult, chosen: np.ndarray) -> Iterable[str]:
    status = np.asarray(result.status).ravel()[chosen]
    status = status[status < Status.MASKED_BY_USER]
    if status.size == 0:
        yield "no pixel was fitted"
        return
    if len(result.shape) == 2 and status.size < _FEW:
        yield f"{status.size} pixels"
    for flag, most, words in (
        (AT_BOUND, _AT_BOUND, "at a bound"),
        (Status.NOT_CONVERGED, _NOT_CONVERGED, "not converged"),
        (Status.NO_DIFFUSE, _NO_DIFFUSE, "without diffuse light"),
        (Status.DOUBTFUL, _DOUBTFUL, "clipped or in deep shadow"),
    ):
        if (share := float(flagged(status, flag).mean())) > most:
            yield f"{100 * share:.0f} % {words}"
    usual = held_out_figures().get(result.model)
    rmse, i_d = (np.asarray(result.map(name), np.float64).ravel()[chosen] for name in ("rmse", "i_d"))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = rmse / np.maximum(i_d, 1)
    share = share[np.isfinite(share)]
    if usual is not None and share.size and float(np.median(share)) > _RMSE_TIMES * usual.rmse_p95:
        yield f"RMSE {float(np.median(share)):.2g}, where skin stays below {usual.rmse_p95:.2g}: msfit check the scene"


def _table_row(index: Any, row: Any, columns: list[str]) -> str:
    cells = [f"<td>{html.escape(str(part))}</td>" for part in index]
    for name in columns:
        value = row[name]
        if isinstance(value, str):
            cells.append(f'<td class="words">{html.escape(value)}</td>')
            continue
        text = f"{value:,}" if name == "n" else ("–" if np.isnan(value) else f"{value:.4g}")
        if f"{name} 5 %" in row and not np.isnan(value):
            text += f"<small>{row[f'{name} 5 %']:.3g} – {row[f'{name} 95 %']:.3g}</small>"
        cells.append(f"<td>{text}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _scale() -> str:
    ends = "; ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in _RANGES.items())
    return f"<p>Colours of all maps from dark blue to yellow: {ends}.</p>"


def _maps(name: str, result: FitResult) -> str:
    import base64
    import io

    from matplotlib import colormaps
    from PIL import Image

    from msfit.rendering import render

    step = max(1, -(-max(result.shape) // _LARGEST))
    pictures = {}
    with contextlib.suppress(InputError):  # as of `_colour`
        pictures["fit under D65"] = render(result, srgb=True)[::step, ::step]
    for key, (low, high) in _RANGES.items():
        values = np.asarray(result.map(key), np.float64)[::step, ::step]
        colours = colormaps["cividis"](np.clip((values - low) / (high - low), 0, 1))
        colours[~np.isfinite(values)] = 0
        pictures[key] = colours
    figures = []
    for caption, picture in pictures.items():
        buffer = io.BytesIO()
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        text = html.escape(caption)
        figures.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )
    return f'<h2>{html.escape(name)}</h2><div class="maps">{"".join(figures)}</div>'
