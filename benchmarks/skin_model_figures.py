"""The figures of docs/skin-model.md: residuals, what the pigments mean, constants and profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

import msfit
from benchmarks import record
from benchmarks.calibration import Faces, Form
from msfit.plot.style import caption, head, new_figure, tidy
from msfit.skin.calibrated import constants
from msfit.synth.people import lab

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
REFERENCE, FIRST, SECOND = "alotaibi-smith-2019", "msfit-issa-2025", "msfit-issa-2026"
# f_mel and f_blood of the median spectrum, on the scale of each model
MEDIAN_SKIN = {FIRST: (0.09, 0.006), SECOND: (0.067, 0.0037)}


def draw(faces: Faces, index: np.ndarray, fits: dict[str, msfit.FitResult]) -> None:
    """Write all figures to docs/images: the first calibration beside the reference, the second beside the first."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, figure in {
        "skin_residuals": residuals(faces, index, fits, (REFERENCE, FIRST)),
        "skin_meaning": meaning(faces, index, fits, (REFERENCE, FIRST)),
        "skin_constants": spectra(faces, FIRST),
        "skin_effects": effects(faces, FIRST),
        "skin_profiles": profiles(),
        "skin_residuals_2026": residuals(faces, index, fits, (FIRST, SECOND)),
        "skin_meaning_2026": meaning(faces, index, fits, (FIRST, SECOND)),
        "skin_constants_2026": spectra(faces, SECOND),
        "skin_effects_2026": effects(faces, SECOND),
    }.items():
        figure.savefig(IMAGES / f"{name}.png", dpi=110)


def residuals(faces: Faces, index: np.ndarray, fits: dict[str, msfit.FitResult], models: tuple[str, str]) -> Figure:
    """Mean residual spectra before and after, by group and by site."""
    figure = new_figure(10, 7)
    head(figure, "What the models leave over", f"mean of measured minus fitted, {len(index):,} spectra of test persons")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for row, labels in enumerate((faces.archive.group[index], faces.archive.site[index])):
        for column, model in enumerate(models):
            result, panel = fits[model], axes[row, column]
            fitted = result.i_d[:, None] * msfit.reflectance(
                result.f_mel, result.f_blood, faces.wavelengths, model=model
            )
            left = faces.spectra[index].numpy() - fitted - result.i_s[:, None]
            for label in np.unique(labels):
                panel.plot(faces.wavelengths, left[labels == label].mean(0), label=str(label), linewidth=1.3)
            caption(panel, model)
            tidy(panel, "wavelength [nm]" if row else "", "residual [1]" if column == 0 else "")
        axes[row, 1].legend(fontsize=7, frameon=False, ncols=2)
    return figure


def meaning(faces: Faces, index: np.ndarray, fits: dict[str, msfit.FitResult], models: tuple[str, str]) -> Figure:
    """Pigments beside what a colorimeter says of the same spectra, by group."""
    colour = lab(faces.spectra[index].numpy(), faces.wavelengths)
    angle = np.degrees(np.arctan2(colour[:, 0] - 50, colour[:, 2]))
    groups = faces.archive.group[index]
    figure = new_figure(10, 7)
    head(figure, "What the pigments mean", f"{len(index):,} spectra of test persons, pigments in volume fractions")
    axes = figure.subplots(2, 2, sharey="col")
    for row, model in enumerate(models):
        result = fits[model]
        pairs = (
            (result.f_mel, angle, "individual typology angle [degrees]", "f_mel"),
            (result.f_blood, colour[:, 1], "a*", "f_blood"),
        )
        for panel, (pigment, measured, what, name) in zip(axes[row], pairs, strict=True):
            for group in np.unique(groups):
                own = groups == group
                panel.plot(pigment[own], measured[own], ".", markersize=2.5, label=str(group))
            caption(panel, model)
            tidy(panel, name, what)
    axes[0, 1].legend(fontsize=7, frameon=False, markerscale=3)
    return figure


def spectra(faces: Faces, model: str) -> Figure:
    """Absorption and scattering: the textbook's and the estimates."""
    nm = faces.wavelengths
    values = {row.name: row.estimate for row in constants(model)}
    textbook = {
        "melanin_exponent": 3.33,
        "baseline_constant": 0.244,
        "baseline_amplitude": 85.3,
        "baseline_decay": 66.2,
        "vessel_diameter": 1e-3,
        "oxygen_saturation": 0.75,
        "rayleigh_share": 0.409,
        "mie_exponent": 0.702,
        "bandwidth": 0.0,
        "baseline_blood": 0.0,
    }
    plain = {name: 0.0 if "_cosine_" in name else textbook.get(name, value) for name, value in values.items()}
    figure = new_figure(10, 6)
    how = "grey: textbook (Jacques 1998, 2013; Prahl, blood not in vessels); black: estimate [cm^-1]"
    head(figure, "The spectra inside the model", how)
    axes = figure.subplots(2, 2).ravel()
    for chosen, colour in ((plain, "#9ca3af"), (values, "#222222")):
        layers = Form(constants(model), nm, held=chosen).skin(torch.empty(0, dtype=torch.float64)).layers
        thickness = 1e-4 * chosen["epidermis_thickness"]
        blood = layers.absorption_blood + layers.absorption
        drawn = {
            "melanosomes": (layers.depth_mel + layers.depth) / thickness,
            "blood, as light meets it": blood,
            "skin without pigment": layers.absorption,
            "scattering, reduced": layers.scattering,
        }
        for axis, (name, spectrum) in zip(axes, drawn.items(), strict=True):
            axis.plot(nm, spectrum, color=colour, linewidth=1.6)
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "235" else "")
            caption(axis, name)
            tidy(axis, "wavelength [nm]")
    return figure


def effects(faces: Faces, model: str) -> Figure:
    """What each constant does to median skin: reflectance one prior standard deviation above less one below."""
    form = Form(constants(model), faces.wavelengths)
    estimate = {row.name: row.estimate for row in constants(model)}
    skin = torch.tensor([MEDIAN_SKIN[model]], dtype=torch.float64)
    z = form.coordinates(estimate)
    figure = new_figure(10, 4.6)
    how = "reflectance, one standard deviation of the prior up less one down, i_d = 1"
    head(figure, "What each constant does to median skin", how)
    panel = figure.subplots()
    for number, row in enumerate(form.free):
        if row.role != "cosine":
            step = torch.zeros_like(z)
            step[number] = 1
            change = form.skin(z + step).reflectance(skin) - form.skin(z - step).reflectance(skin)
            style = "-" if number < 5 else "--"
            panel.plot(faces.wavelengths, change[0], style, label=row.name.replace("_", " "), linewidth=1.4)
    panel.legend(fontsize=7.5, frameon=False, ncols=2)
    tidy(panel, "wavelength [nm]", "change of reflectance [1]")
    return figure


def profiles() -> Figure:
    """Profiles of the objective over the literature's ranges, from the first calibration's record."""
    figures: dict[str, Any] = json.loads((record.RESULTS / "calibrate_skin.json").read_text())["figures"]
    rows = {row.name: row for row in constants(FIRST)}
    least = min(min(profile["objective"]) for profile in figures["profiles"].values())
    figure = new_figure(11, 5.2)
    how = "objective less its least, all other constants estimated anew, prior off; red: estimate"
    head(figure, "What reflectance alone can tell", how)
    axes = figure.subplots(2, 5, sharey=True).ravel()
    for axis, (name, profile) in zip(axes, figures["profiles"].items(), strict=True):
        axis.plot(profile["grid"], np.array(profile["objective"]) - least, "o-", markersize=3, color="#222222")
        axis.axvline(rows[name].estimate, color="#b91c1c", linewidth=1)
        if rows[name].role == "log":
            axis.set_xscale("log")
            axis.set_xticks(profile["grid"][::2], [f"{value:.2g}" for value in profile["grid"][::2]])
            axis.minorticks_off()
        caption(axis, name.replace("_", " "))
        tidy(axis, f"[{rows[name].unit}]")
        axis.set_ylim(-0.005, 0.15)
    return figure
