"""The report: Markdown, HTML, JSON and CSV of a run."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.table1.summary import Row, duplicates, groups, table
from msfit.metrics import COLUMNS

#: Version of the JSON report's layout.
SCHEMA = 1
#: The rows of the paper's Table 1 (25 ISET faces), BMVC 2019, arXiv:1908.10578v2.
PRINTED = {
    "SfSNet": (0.1898, None, 0.1452, None, None, 0.2831),
    "BioFaceNet": (0.1720, 0.0875, 0.1154, 0.5972, 0.2912, 0.0713),
}
_REFERENCES = {
    "fit": "against the pseudo ground truth (msfit fit)",
    "truth": "against the truth, in the terms of the skin model",
}
_KINDS = {"stand-in": "stand-ins (synthetic faces in measured skin)", "scene": "scenes"}
_SCENES_NAMED = 3


def markdown(graded: Sequence[dict[str, Any]], choices: Mapping[str, str], about: Mapping[str, str]) -> str:
    """The whole report as Markdown.

    Parameters
    ----------
    graded : sequence of dict
        Of `benchmarks.table1.scoring.grade`.
    choices, about : mapping of str to str
        What was chosen, and what each method is.
    """
    models = list(dict.fromkeys(score["model"] for scene in graded for score in scene["scores"]))
    parts = [
        "# Table 1",
        "RMSE over the face. Lower is better; in brackets the 95 % interval of a bootstrap over distinct scenes.",
        "## As printed in the paper",
        "25 ISET faces; scale of the shading, mask, picture size and unit of the pigments are not stated there. These "
        "rows are not on the data of the tables below.",
        _printed(),
    ]
    for model in models:
        parts.append(f"## Computed here, skin model {model}")
        for reference, words in _REFERENCES.items():
            rows = _by_kind(graded, model, reference, "none")
            if rows:
                parts += [f"### {words[0].upper()}{words[1:]}", _rows(rows)]
    parts += _by_degradation(graded, models[0]) + _by_tone(graded, models[0])
    if len(models) > 1:
        parts += ["## By skin model", "Against each model's own pseudo ground truth."]
        parts += [f"### {model}\n\n{_rows(_by_kind(graded, model, 'fit', 'none'))}" for model in models]
    parts += ["## Pseudo ground truth", _quality(graded, models)]
    parts += ["## Choices", *(f"- {name}: {value}" for name, value in choices.items())]
    parts += ["## Methods", *(f"- **{name}**: {text}" for name, text in about.items())]
    if pairs := duplicates(graded):
        parts += ["## Equal scenes", "Counted once: " + ", ".join(f"{a} and {b}" for a, b in pairs)]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


def as_html(text: str, pictures: Sequence[str]) -> str:
    """The Markdown report as one HTML page, with figures below.

    Only what `markdown` writes is understood: headings, tables, lists, bold, paragraphs.
    """
    body: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        for piece in _pieces(block.splitlines()):
            body.append(piece)
    body += [f'<figure><img src="{html.escape(path)}" alt="maps of a scene"></figure>' for path in pictures]
    return _PAGE.format(body="\n".join(body))


def per_scene_csv(graded: Sequence[dict[str, Any]]) -> str:
    """One line a scene, method, model, reference and degradation."""
    file = io.StringIO()
    writer = csv.writer(file)
    labels = ("method", "model", "reference", "degradation")
    writer.writerow(["scene", "kind", "tone", "pixels", *labels, *COLUMNS, "compared"])
    for scene in graded:
        for score in scene["scores"]:
            figures = ["" if score[c] is None else f"{score[c]:.6f}" for c in COLUMNS]
            description = [scene[name] for name in ("name", "kind", "tone", "pixels")]
            writer.writerow([*description, *(score[name] for name in labels), *figures, f"{score['compared']:.4f}"])
    return file.getvalue()


def as_json(graded: Sequence[dict[str, Any]], choices: Mapping[str, str], about: Mapping[str, str]) -> dict[str, Any]:
    """Tables and scenes for programs."""
    models = list(dict.fromkeys(score["model"] for scene in graded for score in scene["scores"]))
    degradations = list(dict.fromkeys(score["degradation"] for scene in graded for score in scene["scores"]))
    tables = [
        {"model": model, "reference": reference, "degradation": degradation, **row._asdict()}
        for model in models
        for reference in _REFERENCES
        for degradation in degradations
        for row in _by_kind(graded, model, reference, degradation)
    ]
    tones = [
        {"tone": tone, **row._asdict()}
        for tone, scenes in groups(graded, "tone").items()
        for row in _by_kind(scenes, models[0], "fit", "none")
    ]
    return {
        "schema": SCHEMA,
        "printed": {name: dict(zip(COLUMNS, values, strict=True)) for name, values in PRINTED.items()},
        "choices": dict(choices),
        "methods": dict(about),
        "tables": tables,
        "by_tone": tones,
        "scenes": list(graded),
    }


def _by_kind(graded: Sequence[dict[str, Any]], model: str, reference: str, degradation: str) -> list[Row]:
    """Rows for stand-ins and for other scenes, never averaged together."""
    wanted = {"model": model, "reference": reference, "degradation": degradation}
    rows: list[Row] = []
    for scene_type, scenes in groups(graded, "kind").items():
        names = ", ".join(scene["name"] for scene in scenes)
        data = _KINDS[scene_type] if scene_type == "stand-in" or len(scenes) > _SCENES_NAMED else names
        rows += table(scenes, data, lambda score: all(score[name] == value for name, value in wanted.items()))
    return rows


def _by_degradation(graded: Sequence[dict[str, Any]], model: str) -> list[str]:
    names = list(dict.fromkeys(score["degradation"] for scene in graded for score in scene["scores"]))
    if len(names) < 2:
        return []
    parts = ["## By degradation", f"The picture made worse; maps against the pseudo ground truth, {model}."]
    for name in names:
        rows = [row for row in _by_kind(graded, model, "fit", name) if row.method != "msfit fit"]
        parts += [f"### {'as it is' if name == 'none' else name}", _rows(rows)]
    return parts


def _by_tone(graded: Sequence[dict[str, Any]], model: str) -> list[str]:
    parts = ["## By skin tone", "Classes of the individual typology angle (Chardon et al. 1991)."]
    for tone, scenes in groups(graded, "tone").items():
        parts += [f"### {tone}", _rows(_by_kind(scenes, model, "fit", "none"))]
    return parts


def _quality(graded: Sequence[dict[str, Any]], models: Sequence[str]) -> str:
    lines = ["| model | data | median RMSE in reflectance | pixels on a bound |", "|---|---|---|---|"]
    for model in models:
        for scene_type, scenes in groups(graded, "kind").items():
            figures = [scene["quality"][model] for scene in scenes]
            rmse, edge = (sum(one[name] for one in figures) / len(figures) for name in ("rmse", "at a bound"))
            lines.append(f"| {model} | {_KINDS[scene_type]} ({len(scenes)}) | {rmse:.4f} | {100 * edge:.1f} % |")
    return "\n".join(lines)


def _printed() -> str:
    lines = [_head("algorithm")]
    lines += [f"| {name} | {' | '.join(_figure(value) for value in values)} |" for name, values in PRINTED.items()]
    return "\n".join(lines)


def _rows(rows: Sequence[Row]) -> str:
    lines = [_head("method", "data", "scenes")]
    for row in rows:
        cells = [_figure(row.values[c], row.intervals[c]) for c in COLUMNS]
        lines.append(f"| {row.method} | {row.data} | {row.scenes} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _head(*labels: str) -> str:
    names = [*labels, *COLUMNS]
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def _figure(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" + (f" ({interval[0]:.3f}-{interval[1]:.3f})" if interval else "")


def _pieces(lines: Sequence[str]) -> list[str]:
    if lines[0].startswith("|"):
        head, _, *rows = lines
        cells = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in rows)
        return [f"<table><thead><tr>{_cells(head, 'th')}</tr></thead><tbody>{cells}</tbody></table>"]
    blocks: list[str] = []
    items = [line[2:] for line in lines if line.startswith("- ")]
    for line in lines:
        level = len(line) - len(line.lstrip("#"))
        if level:
            blocks.append(f"<h{level}>{_inline(line[level:].strip())}</h{level}>")
        elif not line.startswith("- "):
            blocks.append(f"<p>{_inline(line)}</p>")
    if items:
        blocks.append("<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>")
    return blocks


def _cells(line: str, tag: str) -> str:
    return "".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in line.strip("|").split("|"))


def _inline(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Table 1</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; margin: .5rem 0 1.5rem }}
th, td {{ padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums }}
th {{ border-bottom: 2px solid #222 }}
img {{ max-width: 100% }}
</style></head><body>
{body}
</body></html>
"""
