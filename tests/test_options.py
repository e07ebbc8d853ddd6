"""One set of options: every door takes an option with the same meaning, or refuses it in the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer.main

import biofacenet
import msfit
import msfit.synth
from msfit.cli.app import app
from msfit.errors import InputError
from msfit.fitting.options import DOORS, CommonKeywords, FitOptions
from msfit.skin import DEFAULT_MODEL, REFERENCE_MODEL
from msfit.skin.models import get_model

NM = np.arange(400.0, 701.0, 10.0)
RNG = np.random.default_rng(13)
SKIN = 0.8 * msfit.reflectance(RNG.uniform(0.03, 0.2, (4, 5)), RNG.uniform(0.01, 0.05, (4, 5)), NM, model=DEFAULT_MODEL)
SKIN = SKIN + 0.05 + 0.003 * RNG.standard_normal(SKIN.shape)
MAPS = ("f_mel", "f_blood", "i_d", "i_s", "rmse")
DEFAULTS = {field.name: field.default for field in fields(FitOptions)}

#: A value other than the default for every option, and what it needs beside.
VALUES: dict[str, Any] = {
    "model": "jacques-km",
    "bounds": "paper",
    "bands": slice(420, 680),
    "mask": np.arange(20).reshape(4, 5) % 3 > 0,
    "device": "cpu",
    "dtype": np.float32,
    "loading": {"saturation": 5.0},
    "channels": msfit.Channels.gaussian(NM, 9),
    "fwhm": 9.0,
    "illuminant": "A",
    "truncate": 0.6,
    "hold": {"i_s": 0.0},
    "prior": {"f_mel": (0.1, 0.05)},
    "free": ("f_mel",),
    "shared": ("saturation",),
    "weights": {(400, 450): 0.5},
    "residual": "radiance",
    "huber": 0.004,
    "std": True,
    "noise": 0.003,
    "certify": True,
    "transmission": 0.9,
    "tv": 0.02,
    "sparsity": 0.01,
    "tv_shading": 0.01,
    "iterations": 3,
    "tolerance": 1e-4,
    "memory": "8GiB",
    "scheduler": "tcp://nowhere:1",
    "resume": False,
    "progress": lambda done, total: None,
    "tell": lambda line: None,
}
NEEDS: dict[str, dict[str, Any]] = {
    "prior": {"noise": 0.003},
    "noise": {"std": True},
    "channels": {"truncate": 0.6},
    "fwhm": {"truncate": 0.6},
    "illuminant": {"fwhm": 9.0, "truncate": 0.6},
    "truncate": {"fwhm": 9.0},
}


def run(door: str, scene: Path, folder: Path, **options: Any) -> dict[str, np.ndarray]:
    """Maps of a fit by one of the doors."""
    if door == "fit_file":
        found: Any = msfit.fit_file(scene, folder / f"{door}.h5", **options)
    elif door == "fit_polarised":
        found = msfit.fit_polarised(scene, scene, **options)
    else:
        found = getattr(msfit, door)(scene, **options)
    return {name: np.asarray(getattr(found, name)) for name in (*MAPS, "status")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lit scene, which all doors can read."""
    path = tmp_path_factory.mktemp("scene") / "scene.npz"
    light = np.linspace(1, 2, NM.size)
    np.savez(path, photons=SKIN * light, illuminant=light, wavelengths=NM)
    return path


def test_every_option_is_tried_here() -> None:
    assert set(VALUES) == set(DEFAULTS)
    assert set().union(*(group.__annotations__ for group in DOORS.values())) == set(DEFAULTS)


@pytest.mark.parametrize("option", list(DEFAULTS))
def test_every_door_takes_an_option_alike_or_refuses_it_in_the_same_words(
    option: str, scene: Path, tmp_path: Path
) -> None:
    if option == "scheduler":  # that it is reached is tested with the cluster
        results = {}
    else:
        given = {option: VALUES[option], **NEEDS.get(option, {})}
        takers = [door for door, group in DOORS.items() if option in group.__annotations__]
        results = {door: run(door, scene, tmp_path, **given) for door in takers}
    if {"fit", "fit_lazy", "fit_file"} <= set(results):
        for door in ("fit_lazy", "fit_file"):
            for name, values in results["fit"].items():
                np.testing.assert_array_equal(results[door][name], values, err_msg=f"{door}: {name}")
    refusals = set()
    for door, group in DOORS.items():
        if option not in group.__annotations__:
            with pytest.raises(InputError) as refused:
                run(door, scene, tmp_path, **{option: VALUES[option]}, **NEEDS.get(option, {}))
            refusals.add(str(refused.value).replace(f"msfit.{door} does not", "it does not"))
            assert str(refused.value).startswith(("std" if option == "noise" else option) + ": ")
    assert len(refusals) <= 1


@pytest.mark.parametrize("door", DOORS)
def test_defaults_of_what_a_door_does_not_take_are_nobodys_choice(door: str, scene: Path, tmp_path: Path) -> None:
    foreign = set(DEFAULTS) - set(DOORS[door].__annotations__)
    assert foreign or door == "fit_file"
    run(door, scene, tmp_path, **{option: DEFAULTS[option] for option in foreign})


@pytest.mark.parametrize("option", [name for name in CommonKeywords.__annotations__ if name != "loading"])
def test_spatial_fits_take_the_common_options_as_pixel_fits_do(option: str, scene: Path, tmp_path: Path) -> None:
    """With next to no smoothing a spatial fit is that of the pixels."""
    given = {option: VALUES[option], **NEEDS.get(option, {})}
    alone, joint = (
        run(door, scene, tmp_path, **given, **more) for door, more in (("fit", {}), ("fit_spatial", {"tv": 1e-12}))
    )
    np.testing.assert_array_equal(np.isnan(joint["f_mel"]), np.isnan(alone["f_mel"]))
    np.testing.assert_allclose(joint["rmse"], alone["rmse"], rtol=1e-4)


@pytest.mark.parametrize("door", DOORS)
def test_options_are_seen_by_help_by_tools_and_in_the_documentation(door: str) -> None:
    function = getattr(msfit, door)
    shown = {name: p for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert set(shown) == set(DOORS[door].__annotations__)
    assert all(p.default is DEFAULTS[name] or p.default == DEFAULTS[name] for name, p in shown.items())
    documented = inspect.getdoc(msfit.fit) + inspect.getdoc(function)  # type: ignore[operator]
    for name in shown:
        assert name in documented


def test_the_keywords_have_the_types_of_the_options() -> None:
    types = {field.name: str(field.type) for field in fields(FitOptions)}
    for group in DOORS.values():
        for name, kind in group.__annotations__.items():
            assert kind.__forward_arg__ == types[name], name


def test_the_command_line_has_the_same_options_and_defaults() -> None:
    command = typer.main.get_command(app).commands["fit"]  # type: ignore[attr-defined]
    options = {parameter.name: parameter for parameter in command.params}
    library = set(DEFAULTS) - {"loading", "progress", "tell"}  # --white and others; the bar; the notes
    assert library < set(options)
    for name in library - {"free", "shared"}:  # absent there is the default here
        assert options[name].default == DEFAULTS[name], name


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_option_is_a_type_error_that_names_the_nearest(door: str, scene: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=rf"{door}\(\) got an unexpected.* 'boundz'; did you mean 'bounds'"):
        run(door, scene, tmp_path, boundz="paper")
    with pytest.raises(TypeError, match="it takes model, bounds"):
        run(door, scene, tmp_path, xyzzy=1)


@pytest.mark.parametrize(("call", "nearest"), [
    (lambda: msfit.load("absent.h5", varible="r"), "load.*'varible'; did you mean 'variable'"),
    (lambda: msfit.load_result("absent.h5", lasy=True), "load_result.*did you mean 'lazy'"),
    (lambda: msfit.render(SKIN, ilumination="D65"), "render.*did you mean 'illuminant'"),
    (lambda: msfit.check(SKIN, wavelenghts=NM), "check.*'wavelenghts'"),
    (lambda: msfit.skin_mask(SKIN, wavelenghts=NM), "skin_mask.*'wavelenghts'"),
    (lambda: msfit.align_bands(SKIN, refrence=3), "align_bands.*'refrence'"),
    (lambda: msfit.design_channels(3, catalog=None), "design_channels.*did you mean 'catalogue'"),
    (lambda: msfit.estimate_illuminant(SKIN, chanels=None), "estimate_illuminant.*did you mean 'channels'"),
    (lambda: msfit.fit(SKIN, NM).plot(range={}), r"plot\(\).*'range'; did you mean 'ranges'"),
    (lambda: biofacenet.predict("absent.jpg", boxx="whole"), "predict.*did you mean 'box'"),
    (lambda: biofacenet.edit("absent.jpg", {}, boks="whole"), "edit.*did you mean 'box'"),
    (lambda: biofacenet.face_mesh("absent.jpg", bocks="auto"), "face_mesh.*did you mean 'box'"),
])  # fmt: skip
def test_every_public_function_names_the_nearest_keyword(call: Callable[[], Any], nearest: str) -> None:
    with pytest.raises(TypeError, match=nearest):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certify": True, "huber": 0.01}, "certify: proves sums of squares"),
        ({"certify": True, "free": ("f_mel", "saturation")}, "certify: does not go with extra parameters"),
        ({"huber": 0.01, "shared": ("saturation",)}, "huber: does not go with extra parameters"),
        ({"residual": "radiance", "shared": ("saturation",)}, "residual: found radiance with shared"),
        ({"noise": 0.01}, "noise: given without std or prior"),
        ({"dtype": torch.bfloat16}, "dtype: found torch.bfloat16; expected float32 or float64"),
        ({"dtype": "half"}, "dtype: found 'half'"),
        ({"std": "yes"}, "std: found 'yes'"),
        ({"progress": 3}, "progress: found int"),
        ({"free": "f_mel"}, "free: found 'f_mel'; expected a list"),
    ],
)
def test_conflicts_and_values_are_checked_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        FitOptions(**options)


def test_types_by_any_name_are_the_same() -> None:
    for dtype in (np.float32, "float32", torch.float32, np.dtype("f4"), "f4" and np.dtype("float32")):
        assert FitOptions(dtype=dtype).dtype == "float32"
    assert FitOptions(dtype=float).dtype == "float64"


def test_inputs_of_every_kind_give_the_same_maps(tmp_path: Path) -> None:
    expected = msfit.fit(SKIN, NM)
    np.savez(tmp_path / "skin.npz", reflectance=SKIN, wavelengths=NM)
    rows = pd.DataFrame(SKIN.reshape(-1, NM.size), columns=[f"{nm:g} nm" for nm in NM])
    one = pd.Series(SKIN[1, 2], index=NM)
    calls: list[tuple[Callable[[], Any], Any]] = [
        (lambda: msfit.fit(tmp_path / "skin.npz"), np.s_[:]),
        (lambda: msfit.fit(str(tmp_path / "skin.npz")), np.s_[:]),
        (lambda: msfit.fit(rows).f_mel.reshape(4, 5), np.s_[:]),
        (lambda: msfit.fit(rows.set_axis(range(31), axis=1), NM).f_mel.reshape(4, 5), np.s_[:]),
        (lambda: msfit.fit(SKIN[1, 2], NM).f_mel[0], np.s_[1, 2]),
        (lambda: msfit.fit(SKIN[1, 2].tolist(), NM.tolist()).f_mel[0], np.s_[1, 2]),
        (lambda: msfit.fit(one).f_mel[0], np.s_[1, 2]),
        (lambda: msfit.fit_lazy(one).f_mel.values[0], np.s_[1, 2]),
    ]
    for call, where in calls:
        found = call()
        np.testing.assert_array_equal(getattr(found, "f_mel", found), expected.f_mel[where])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: msfit.fit(np.moveaxis(SKIN, -1, 0), NM), "as many along axis 0 of values"),
        (lambda: msfit.fit(SKIN, NM, loading={"white": "0:2,0:2"}), "loading: given beside ndarray"),
        (lambda: msfit.fit("nosuch.mat"), "no such file"),
        (lambda: msfit.fit(pd.DataFrame({"site": ["cheek"], "400": [0.2]})), r"columns: found 'site'.*set_index"),
        (lambda: msfit.fit(pd.DataFrame(SKIN[0], columns=NM), NM), "beside a table"),
        (lambda: msfit.fit_file(SKIN, "maps.h5"), "path: found ndarray"),  # type: ignore[arg-type]
    ],
)
def test_inputs_that_are_refused(given: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        given()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.savez(tmp_path / "skin.npz", reflectance=SKIN, wavelengths=NM)
    np.save(tmp_path / "mask.npy", VALUES["mask"])
    result = msfit.fit_file("~/skin.npz", "~/maps.h5", mask="~/mask.npy")
    assert (tmp_path / "maps.h5").is_file()
    np.testing.assert_array_equal(np.asarray(result.fitted), VALUES["mask"])


def test_the_default_model_is_registered() -> None:
    assert FitOptions().model == DEFAULT_MODEL == get_model(DEFAULT_MODEL).name
    assert get_model(REFERENCE_MODEL).name == REFERENCE_MODEL


def test_a_fit_gives_back_what_reflectance_was_made_from() -> None:
    """One default model: 0.1 and 0.03 used to come back as 0.106 and 0.07, on the bound."""
    found = msfit.fit(0.9 * msfit.reflectance(0.1, 0.03, NM) + 0.02, NM)
    np.testing.assert_allclose(
        [found.f_mel[0], found.f_blood[0], found.i_d[0], found.i_s[0]], [0.1, 0.03, 0.9, 0.02], rtol=1e-6
    )
    assert found.status[0] == msfit.Status.CONVERGED
    for function in (msfit.reflectance, msfit.synth.make_scene, msfit.synth.write_scenes, msfit.synth.samples):
        assert inspect.signature(function).parameters["model"].default == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: msfit.fit(None), "cube: found NoneType"),
        (lambda: msfit.fit(msfit.fit(np.full((1, 31), 0.4), NM)), "cube: found FitResult"),
        (lambda: msfit.skin_mask(np.ones((3, 4, 31))), "cube: found ndarray; expected a Cube"),
        (
            lambda: msfit.fit(np.full((1, 31), 0.4), NM, hold={"i_s": 0}, bounds={"i_s": (0, 1)}),
            "hold: found i_s, which bounds names too",
        ),
        (
            lambda: msfit.fit(np.full((1, 31), 0.4), NM, device="gpu"),
            "no such kind of device",
        ),
    ],
)
def test_first_mistakes_get_the_name_of_their_argument(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
