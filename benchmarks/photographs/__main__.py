"""What photographs of faces tell, method by method.

Usage: python -m benchmarks.photographs [--photos DIR] [--scenes DIR] [--weights NAME|FILE] [--panels DIR]

DIR holds photographs and, if people said so, labels.csv (file, person, tone: very light, light, intermediate, tan,
brown, dark); NAME_diffuse.png, NAME_specular.png and NAME_mask.png there are a face whose light was measured apart. The
exams are the frozen 25 stand-ins (--scenes, built where they are not there). Figures go to
benchmarks/results/photographs.json, without any picture; panels, for looking at, only to --panels, which should lie
outside the project. Nothing may be chosen by these figures.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.photographs.exams import of_exam
from benchmarks.photographs.folder import Picture, read_folder
from benchmarks.photographs.methods import Maps, methods
from benchmarks.photographs.panels import draw
from benchmarks.photographs.rows import angle_of, by_tone, of_apart, of_edit, of_picture
from biofacenet.editing import Editor
from biofacenet.exam import read_exam
from biofacenet.photo.face import Box
from biofacenet.prediction import Model, load_model
from msfit.synth import write_standins

ROOT = Path(__file__).parents[2]
_SIDE = 256


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("MSFIT_PHOTOS", ROOT.parent / "shared" / "photos"))
    parser.add_argument("--photos", type=Path, default=default)
    parser.add_argument("--scenes", type=Path, default=ROOT / "data_iset" / "scenes")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--panels", type=Path)
    parser.add_argument("--only", nargs="+", help="methods; others keep the figures that they have")
    parser.add_argument("--without", nargs="+", default=[], choices=("exam", "moved", "edits", "photos"))
    parser.add_argument("--name", default="photographs", help="of the file of figures")
    chosen = parser.parse_args()
    model = load_model(chosen.weights, "cpu")
    ways = {name: way for name, way in methods(model).items() if not chosen.only or name in chosen.only}
    figures: dict[str, Any] = {"network": {"name": model.name, "skin_model": model.decoder.model}}
    if "exam" not in chosen.without:
        write_standins(chosen.scenes)
        faces = read_exam(chosen.scenes, model.decoder.model, _SIDE)
        results = {name: of_exam(faces, way) for name, way in ways.items()}
        figures["stand-ins"] = {name: own for name, (own, _) in results.items()}
        _show(figures["stand-ins"])
        if chosen.panels is not None:
            for k, face in enumerate(faces):
                drawn = {name: found[k] for name, (_, found) in results.items()}
                _draw(f"{face.name}, {face.attrs['ita_class']}", drawn, chosen.panels)
    if chosen.photos.is_dir() and "photos" not in chosen.without:
        figures["photographs"] = _photographs(chosen, model, ways)
    kept = record.RESULTS / f"{chosen.name}.json"
    if kept.is_file():
        figures = _joined(json.loads(kept.read_text(encoding="utf-8"))["figures"], figures)
    if "photographs" in figures:
        exams, rows = figures.get("stand-ins", {}), figures["photographs"]["one by one"]
        together = {name: _together(own, exams.get(name, {})) for name, own in rows.items()}
        figures["photographs"]["together"] = together
        _show(together)
    record.write(chosen.name, figures)


def _joined(kept: Any, new: Any) -> Any:
    """Figures of before with those that were measured now."""
    if not isinstance(kept, dict) or not isinstance(new, dict):
        return new
    return {name: _joined(kept.get(name), new[name]) if name in new else kept[name] for name in {**kept, **new}}


def _photographs(chosen: argparse.Namespace, model: Model, ways: dict[str, Any]) -> dict[str, Any]:
    pictures, measured = read_folder(chosen.photos)
    figures: dict[str, Any] = {"one by one": {}, "light measured apart": {}}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for picture in pictures:
        drawn: dict[str, Maps | None] = {}
        for name, way in ways.items():
            row, maps = of_picture(picture, way, moved="moved" not in chosen.without)
            drawn[name] = maps
            if maps is not None:
                row["angle"] = angle_of(picture, maps)
            rows[name].append(row)
        _edited(picture, model, drawn.get("network"), rows, chosen)
        if chosen.panels is not None:
            _draw(picture.name, drawn, chosen.panels)
    for name, own in rows.items():
        figures["one by one"][name] = own
    for face in measured:
        figures["light measured apart"][face.name] = {}
        for name, way in ways.items():
            row, found = of_apart(face, way)
            figures["light measured apart"][face.name][name] = row
            if chosen.panels is not None:
                _draw(f"{face.name} {name}", dict(found), chosen.panels)
    _show(figures["one by one"])
    _show(figures["light measured apart"])
    return figures


def _edited(
    picture: Picture, model: Model, maps: Maps | None, rows: dict[str, list[dict[str, Any]]], chosen: argparse.Namespace
) -> None:
    if maps is None or "edits" in chosen.without:
        return

    def edit(rgb: np.ndarray, changes: dict[str, str]) -> tuple[np.ndarray, Box]:
        edited = Editor(rgb, model).edit(changes)
        return edited.rgb, edited.box

    rows["network"][-1]["edit"] = of_edit(picture.rgb, edit, maps)
    if chosen.panels is not None:
        from PIL import Image

        for number, changes in enumerate(({"melanin": "+0.08"}, {"specular": "0"}, {"blood": "x2"})):
            chosen.panels.mkdir(parents=True, exist_ok=True)
            changed = edit(picture.rgb, changes)[0]
            both = np.hstack([picture.rgb[maps.crop.slices], changed[maps.crop.slices]])
            Image.fromarray(both).save(chosen.panels / f"edit_{number}_{Path(picture.name).stem}.png")


def _together(rows: list[dict[str, Any]], exam: dict[str, Any]) -> dict[str, Any]:
    """Over all photographs: what is kept, by tone; how far f_mel moves, in spreads between the stand-ins' faces."""
    known = [row for row in rows if "f_mel" in row]
    figures: dict[str, Any] = {"refused": len(rows) - len(known), **by_tone(rows)}
    if not known:
        return figures
    figures["kept, least"] = min(row["kept"] for row in known)
    for name in ("gloss with i_d", "i_s with i_d", "weave", "left over", "seconds"):
        values = [row[name] for row in known if row[name] is not None]
        figures[f"{name}, median"] = float(np.median(values)) if values else None
    spreads = exam.get("spread of f_mel between faces")
    moved = [row["f_mel moved"] for row in known if "f_mel moved" in row]
    if moved and spreads:
        figures["f_mel moved, median, in spreads said and true"] = {
            name: [
                float(np.median([abs(one[name]) for one in moved if one[name] is not None]) / spreads[whose])
                for whose in ("said", "true")
            ]
            for name in moved[0]
        }
    unedited = [row["edit"]["unedited"] for row in known if "edit" in row]
    if unedited:
        figures["unedited, most"] = max(unedited)
    return figures


def _draw(title: str, found: dict[str, Maps | None], folder: Path) -> None:
    known = {name: maps for name, maps in found.items() if maps is not None}
    if known:
        draw(title, known, folder / f"{title.replace(' ', '_').replace(',', '')}.png")


def _show(figures: Any, indent: str = "") -> None:
    for name, value in figures.items() if isinstance(figures, dict) else enumerate(figures):
        if isinstance(value, dict | list) and value and not all(isinstance(one, float) for one in value):
            print(f"{indent}{name}")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{name}: {value:.4g}" if isinstance(value, float) else f"{indent}{name}: {value}")


if __name__ == "__main__":
    main()
