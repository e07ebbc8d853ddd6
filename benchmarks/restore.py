"""Restoration of the 25 stand-ins at 256 x 256 beside classical methods and a plain network.

    python -m benchmarks.restore [--tune] [--methods all] [--scenes N] [--plain WEIGHTS] [--restorer WEIGHTS]
                                 [--identity MODELS] [--rows FOLDER] [--pictures FOLDER] [--speed] [--record]

Six kinds of degradation at three strengths, drawn from the scene, kind and strength, so that every method gets the same
picture. Classical methods (scikit-image) are told kind and strength; their settings were tuned on faces of the
validation split (--tune writes them). The plain U-Net is the same network, with the same weights, steps and tuning,
without what the restoration does before and after it (noise and JPEG read from pixels, shrinkage, consistency, prior of
faces), its colours held to the input's over areas in the same way; --plain takes other weights.

Rows of a method stay in FOLDER, so that methods can be run one by one; figures are made of all rows that lie there.
MODELS is the folder `models` of the package face_recognition_models 0.3.0, of which only
dlib_face_recognition_resnet_model_v1.dat is read, by path. Wavelets need PyWavelets. LPIPS and FID need weights
that are not part of this project: they are left out.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from skimage import restoration as classical
from skimage.metrics import structural_similarity

from benchmarks import record
from benchmarks.niqe import Niqe
from benchmarks.similarity import gmsd, ms_ssim
from biofacenet.photo.located import Face, locate
from biofacenet.photo.reading import Photo
from biofacenet.prediction import Model, load_model
from biofacenet.restoration.degradation import Degradation, Step, apply, summed
from biofacenet.restoration.faces import Faces, FaceSource, kept_whole
from biofacenet.restoration.holes import surrounded
from biofacenet.restoration.pipeline import plainly_restored, restore
from biofacenet.restoration.skin import skin_of
from biofacenet.restoration.weights import Restoring, load_restorer
from msfit.colour.cameras import mean_camera
from msfit.colour.colorimetry import fold_bands, rgb_weights
from msfit.colour.difference import ciede2000
from msfit.colour.transforms import d65_white, decode_srgb, encode_srgb, linear_srgb_to_xyz, xyz_to_lab
from msfit.errors import InputError
from msfit.io.output import written_whole
from msfit.synth import read_truth, write_standins

ROOT = Path(__file__).parents[1]
SETTINGS = Path(__file__).parent / "restore_settings.json"
STRENGTHS = ("light", "middle", "strong")
#: What a kind does at each strength; holes are shares of the face.
KINDS: dict[str, tuple[Step, Step, Step]] = {
    "blur": (Step(blur=1.0), Step(blur=2.0), Step(blur=4.0)),
    "noise": (Step(noise=5.0), Step(noise=15.0), Step(noise=25.0)),
    "resolution": (Step(factor=2.0), Step(factor=4.0), Step(factor=8.0)),
    "jpeg": (Step(quality=60), Step(quality=30), Step(quality=15)),
    "holes": (Step(), Step(), Step()),
    "mixture": (Step(0.8, 2.0, 4.0, 85), Step(1.5, 3.0, 8.0, 75), Step(3.0, 4.0, 15.0, 60)),
}
HOLES = (0.05, 0.10, 0.20)
CLASSICAL: dict[str, tuple[float, ...]] = {
    "non-local means": (0.2, 0.35, 0.5, 0.8),
    "total variation": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3),
    "wavelet": (0.4, 0.7, 1.0, 1.5, 2.0),
    "Richardson-Lucy": (2, 5, 10, 20, 40),
    "inpainting": (0.0,),
}
_TUNED_ON, _NATURAL = 2, 24
#: (case, kind, strength) to display values (y, x, 3), or None where a method is not meant for the kind.
Method = Callable[["Case", str, int], np.ndarray | None]


class Scene(NamedTuple):
    """A clean picture, display values (y, x, 3), of 8 bits, and its face."""

    name: str
    tone: str
    clean: np.ndarray
    face: np.ndarray


class Case(NamedTuple):
    """A degraded picture, uint8 (y, x, 3), and what is known of it."""

    picture: np.ndarray
    hole: np.ndarray | None
    step: Step


def standin_scenes(folder: Path, count: int) -> list[Scene]:
    """The stand-ins under D65 through the mean camera, from the truth: without noise."""
    found = []
    for path in write_standins(folder)[:count]:
        truth = read_truth(path)
        weights = rgb_weights(truth.wavelengths, "D65", mean_camera())
        linear = fold_bands(truth.i_d[..., None] * truth.reflectance + truth.i_s[..., None], weights)
        found.append(_scene(path.stem, str(truth.attrs["ita_class"]), np.nan_to_num(linear), truth.mask))
    return found


def validation_scenes(count: int) -> list[Scene]:
    """Faces of the validation split, of every tone."""
    faces = Faces(FaceSource("validation", 24, 60), 1, 96)
    order = np.argsort(faces.ita)
    chosen = order[np.linspace(1, len(order) - 2, count).round().astype(int)]
    made = []
    for index in chosen:
        linear, face = kept_whole(faces, int(index))
        made.append(_scene(f"validation {index}", "", linear.permute(1, 2, 0).numpy(), face.numpy()))
    return made


def _scene(name: str, tone: str, linear: np.ndarray, face: np.ndarray) -> Scene:
    display = encode_srgb(torch.from_numpy(linear.clip(0, 1).astype(np.float32))).numpy()
    return Scene(name, tone, np.rint(255 * display) / 255, np.asarray(face, bool))


def made_worse(scene: Scene, kind: str, strength: int, number: int) -> Case:
    """The picture of a scene made worse: the same for every method."""
    if kind == "none":
        return Case(np.rint(255 * scene.clean).astype(np.uint8), None, Step())
    seed = [*KINDS].index(kind) * 1000 + strength * 100 + number
    generator = torch.Generator().manual_seed(seed)
    step = KINDS[kind][strength]
    light = decode_srgb(torch.from_numpy(scene.clean.astype(np.float32))).permute(2, 0, 1)[None]
    display = encode_srgb(apply(light, [step], generator))
    hole = None
    if kind == "holes":
        hole = _hole(scene.face, HOLES[strength], np.random.default_rng(seed))
        where = torch.from_numpy(hole.astype(np.float32))[None, None]
        display = surrounded(display * (1 - where), where)
    picture = np.rint(255 * display[0].permute(1, 2, 0).numpy().clip(0, 1)).astype(np.uint8)
    return Case(picture, hole, step)


def _hole(face: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """An ellipse that covers a share of the face."""
    rows, columns = np.nonzero(face)
    pick = int(rng.integers(len(rows)))
    centre = 0.6 * np.array([rows[pick], columns[pick]]) + 0.4 * np.array([rows.mean(), columns.mean()])
    y, x = np.indices(face.shape)
    turn, slim = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    u = (x - centre[1]) * np.cos(turn) + (y - centre[0]) * np.sin(turn)
    v = ((y - centre[0]) * np.cos(turn) - (x - centre[1]) * np.sin(turn)) / slim
    radius = np.hypot(u, v)
    order = np.sort(radius[face])
    return np.asarray(radius <= order[min(len(order) - 1, int(share * len(order)))])


def classically(name: str, case: Case, kind: str, value: float) -> np.ndarray | None:
    """A classical method told the degradation, display values; None where it is not meant for the kind."""
    picture, known = case.picture / 255.0, summed([case.step])
    # what JPEG leaves counts as noise, about half a step of its quantisation
    noise = max(known.noise, 0.1 * (100 - known.quality)) / 255
    if kind == "holes":
        if name != "inpainting" or case.hole is None:
            return None
        return np.asarray(classical.inpaint_biharmonic(picture, case.hole, channel_axis=2))
    if name == "inpainting":
        return None
    if name == "Richardson-Lucy":
        if known.spread <= 0.3:
            return None
        return _deblurred(picture, known, int(value))
    if noise <= 0:
        return None
    return _denoised(name, picture, noise, value)


def _denoised(name: str, picture: np.ndarray, noise: float, value: float) -> np.ndarray | None:
    if name == "non-local means":
        return np.asarray(
            classical.denoise_nl_means(
                picture, patch_size=5, patch_distance=6, h=value * noise, sigma=noise, fast_mode=True, channel_axis=2
            )
        )
    if name == "total variation":
        return np.asarray(classical.denoise_tv_chambolle(picture, weight=value, channel_axis=2))
    if importlib.util.find_spec("pywt") is None:
        return None
    return np.asarray(
        classical.denoise_wavelet(picture, sigma=value * noise, convert2ycbcr=True, channel_axis=2, rescale_sigma=True)
    )


def _deblurred(picture: np.ndarray, known: Degradation, rounds: int) -> np.ndarray:
    """Richardson-Lucy behind the Gaussian that stands for blur and sampling; noise taken away first."""
    if known.noise > 0:
        soft = _denoised("non-local means", picture, known.noise / 255, 0.8)
        picture = picture if soft is None else soft
    reach = max(1, int(np.ceil(3 * known.spread)))
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / known.spread) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    made = np.stack(
        [classical.richardson_lucy(padded[..., c].clip(1e-3), kernel, num_iter=rounds) for c in range(3)], axis=2
    )
    return np.asarray(made[reach:-reach, reach:-reach])


def tune() -> dict[str, dict[str, float]]:
    """The setting of each classical method for each kind and strength that has the highest PSNR on validation faces."""
    scenes = validation_scenes(_TUNED_ON)
    settings: dict[str, dict[str, float]] = defaultdict(dict)
    for kind in KINDS:
        for strength in range(3):
            cases = [(scene, made_worse(scene, kind, strength, 50 + n)) for n, scene in enumerate(scenes)]
            for name, values in CLASSICAL.items():
                found = {}
                for value in values:
                    made = [classically(name, case, kind, value) for _, case in cases]
                    if made[0] is None:
                        break
                    found[value] = np.mean(
                        [_psnr(a, s.clean) for a, (s, _) in zip(made, cases, strict=True) if a is not None]
                    )
                if found:
                    settings[name][f"{kind} {STRENGTHS[strength]}"] = max(found, key=found.__getitem__)
    return dict(settings)


class Judge:
    """Figures of a picture beside the clean one, on what is the same for all methods of a scene."""

    def __init__(self, model: Model, models: Path | None) -> None:
        self.model = model
        self.niqe = Niqe([scene.clean for scene in validation_scenes(_NATURAL)])
        self.identity = None
        if models is not None:
            from benchmarks.frontal import Identity

            self.identity = Identity(models)
        self._known: dict[str, tuple[Any, Face | None, np.ndarray | None]] = {}

    def __call__(self, made: np.ndarray, scene: Scene, case: Case) -> dict[str, float]:
        made = np.rint(255 * made.clip(0, 1)) / 255
        skin, face, own = self._of(scene)
        found = {"psnr": _psnr(made, scene.clean), **_similarity(made, scene.clean)}
        found["psnr face"] = _psnr(made[scene.face], scene.clean[scene.face])
        found["dE00"] = _difference(made, scene.clean, scene.face)
        region = scene.face if case.hole is None else scene.face & ~case.hole
        before = skin if case.hole is None else skin_of(self.model, scene.clean, region)
        after = skin_of(self.model, made, region)
        found["f_mel"] = 100 * (after.f_mel / before.f_mel - 1)
        found["f_blood"] = 100 * (after.f_blood / before.f_blood - 1)
        found["ita"] = after.ita - before.ita
        found["niqe"] = self.niqe(made)
        if case.hole is not None:
            found["psnr hole"] = _psnr(made[case.hole], scene.clean[case.hole])
        if self.identity is not None and face is not None and face.mesh is not None and own is not None:
            found["identity"] = float(np.linalg.norm(self.identity(made, face.mesh.vertices[:, :2]) - own))
        return found

    def _of(self, scene: Scene) -> tuple[Any, Face | None, np.ndarray | None]:
        if scene.name not in self._known:
            try:
                face = locate(Photo(np.rint(255 * scene.clean).astype(np.uint8)))
            except InputError:
                face = None
            own = None
            if self.identity is not None and face is not None and face.mesh is not None:
                own = self.identity(scene.clean, face.mesh.vertices[:, :2])
            self._known[scene.name] = (skin_of(self.model, scene.clean, scene.face), face, own)
        return self._known[scene.name]


def _psnr(made: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(np.square(made - clean).mean()), 1e-7)))


def _similarity(made: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    ssim = structural_similarity(
        made, clean, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return {"ssim": float(ssim), "ms-ssim": ms_ssim(made, clean), "gmsd": gmsd(made, clean)}


def _difference(made: np.ndarray, clean: np.ndarray, face: np.ndarray) -> float:
    labs = [
        xyz_to_lab(linear_srgb_to_xyz(decode_srgb(torch.from_numpy(one[face].astype(np.float64)))), d65_white())
        for one in (made, clean)
    ]
    return float(ciede2000(*labs).mean())


def methods(restorer: Restoring, plain: Restoring, model: Model, settings: dict[str, Any]) -> dict[str, Method]:
    """Each method by name: (case, kind, strength) to display values, or None where it is not meant for the kind."""

    def ours(case: Case, kind: str, strength: int) -> np.ndarray:
        try:
            made = restore(case.picture, model, hole=case.hole, restorer=restorer)
        except InputError:  # no face is found in the worst
            made = restore(case.picture, model, hole=case.hole, restorer=restorer, box="whole")
        return made.rgb / 255.0

    def classic(name: str, case: Case, kind: str, strength: int) -> np.ndarray | None:
        value = settings.get(name, {}).get(f"{kind} {STRENGTHS[strength]}")
        return None if value is None else classically(name, case, kind, value)

    found: dict[str, Method] = {
        "input (bicubic)": lambda case, kind, strength: case.picture / 255.0,
        "ours": ours,
        "plain U-Net": lambda case, kind, strength: plainly_restored(case.picture, plain, case.hole),
    }
    return found | {name: functools.partial(classic, name) for name in CLASSICAL}


def ordered_cases() -> list[tuple[str, int]]:
    """Kinds and strengths, those that most is asked of first; ("none", 0): untouched."""
    first = [("mixture", 1), ("none", 0), ("holes", 1), ("blur", 1), ("resolution", 1), ("mixture", 0), ("mixture", 2)]
    middle = [(kind, 1) for kind in KINDS if (kind, 1) not in first]
    return first + middle + [(kind, s) for s in (0, 2) for kind in KINDS if (kind, s) not in first]


def run(
    scenes: list[Scene],
    judge: Judge,
    name: str,
    method: Method,
    cases: list[tuple[str, int]],
    kept: Path,
    pictures: Path | None,
) -> None:
    """Add rows of a method to a file, case by case: scene, kind, strength, figures. Those that lie there stay."""
    rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    there = {(row["scene"], row["kind"], row["strength"]) for row in rows}
    for kind, strength in cases:
        told = "none" if kind == "none" else STRENGTHS[strength]
        for number, scene in enumerate(scenes):
            if (scene.name, kind, told) in there:
                continue
            case = made_worse(scene, kind, strength, number)
            began = time.perf_counter()
            made = method(case, kind, strength)
            if made is None:
                continue
            about = {"scene": scene.name, "tone": scene.tone, "kind": kind, "strength": told}
            rows.append({**about, "seconds": time.perf_counter() - began, **judge(made, scene, case)})
            if pictures is not None and number % 6 == 0:
                _keep(pictures, scene, f"{kind}-{told}", name, made, case)
        with written_whole(kept) as part:
            part.write_text(json.dumps(rows), encoding="utf-8")
        print(f"{name}: {kind} {told}", flush=True)


def _keep(folder: Path, scene: Scene, kind: str, name: str, made: np.ndarray, case: Case) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    row = np.concatenate([scene.clean, case.picture / 255.0, made.clip(0, 1)], axis=1)
    Image.fromarray(np.rint(255 * row).astype(np.uint8)).save(folder / f"{scene.name}-{kind}-{name.split()[0]}.png")


def figures(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means by method, kind and strength; by class of tone; and what the issue asks."""
    table: dict[str, Any] = {}
    for name, own in rows.items():
        by_case: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in own:
            by_case[f"{row['kind']} {row['strength']}"].append(row)
        table[name] = {case: _means(group) for case, group in by_case.items()}
    tones: dict[str, Any] = {}
    for name in ("input (bicubic)", "ours", "plain U-Net"):
        cases = _by_case(rows.get(name, []))
        most = max((len(group) for group in cases.values()), default=0)
        # classes of tone are compared over the cases that all scenes have run
        worse = [
            row for case, group in cases.items() for row in group.values() if case != "none none" and len(group) == most
        ]
        by_tone: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in worse:
            by_tone[row["tone"]].append(row)
        if worse:
            tones[name] = {tone: _changes(group) for tone, group in by_tone.items()} | {"all": _changes(worse)}
    return {"ours over": _asked(rows, tones), "table": table, "change by tone": tones, "identity": _identities(rows)}


def _asked(rows: dict[str, list[dict[str, Any]]], tones: dict[str, Any]) -> dict[str, Any]:
    """What is asked of restoration; gains over a method are means over the scenes that both have run."""
    by_case = {name: _by_case(own) for name, own in rows.items()}
    own = by_case.get("ours", {})
    found: dict[str, Any] = {}
    if "none none" in own:
        found["untouched, least psnr"] = min(row["psnr"] for row in own["none none"].values())
    for case in own:
        if case == "none none":
            continue
        key = "psnr hole" if case.startswith("holes") else "psnr"
        found[case] = {
            name: {
                key: round(float(np.mean([own[case][scene][key] - row[key] for scene, row in others.items()])), 3),
                "ssim": round(float(np.mean([own[case][s]["ssim"] - row["ssim"] for s, row in others.items()])), 4),
                "count": len(others),
            }
            for name, cases in by_case.items()
            if name != "ours"
            and (others := {scene: row for scene, row in cases.get(case, {}).items() if scene in own[case]})
        }
    for name, classes in tones.items():
        every = classes["all"]
        others = {tone: row for tone, row in classes.items() if tone != "all"}
        found[f"change, {name}"] = {
            "f_mel median": every["f_mel median"],
            "f_mel, class of the largest mean with its sign": max(
                ((row["f_mel signed"], tone) for tone, row in others.items()), key=lambda pair: abs(pair[0])
            ),
            "ita median": every["ita median"],
            "ita, class lightened most": max((row["ita signed"], tone) for tone, row in others.items()),
            "ita, class of the largest change over all": max(
                (round(row["ita mean"] / every["ita mean"], 3), tone) for tone, row in others.items()
            ),
        }
    return found


def _by_case(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        found[f"{row['kind']} {row['strength']}"][row["scene"]] = row
    return found


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    names = [name for name in rows[0] if name not in ("scene", "tone", "kind", "strength")]
    found = {}
    for name in names:
        values = np.array([row[name] for row in rows if name in row])
        found[name] = round(float(np.abs(values).mean() if name in ("f_mel", "f_blood", "ita") else values.mean()), 5)
    return {**found, "count": len(rows)}


def _changes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of pigments [%] and tone [degrees]: median and mean sizes, and the mean with its sign (above 0: lighter)."""
    found: dict[str, float] = {"count": len(rows)}
    for name in ("f_mel", "f_blood", "ita"):
        values = np.array([row[name] for row in rows])
        found |= {
            f"{name} median": round(float(np.median(np.abs(values))), 4),
            f"{name} mean": round(float(np.abs(values).mean()), 4),
            f"{name} signed": round(float(values.mean()), 4),
        }
    return found


def _identities(rows: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """At the middle strength: of how many scenes ours is nearer to the clean face than the input."""
    own, base = (
        {(r["scene"], r["kind"], r["strength"]): r["identity"] for r in rows.get(name, []) if "identity" in r}
        for name in ("ours", "input (bicubic)")
    )
    found = {}
    for kind in ("blur", "resolution", "mixture"):
        keys = [key for key in own if key[1:] == (kind, "middle") and key in base]
        found[kind] = f"{sum(own[key] < base[key] for key in keys)} of {len(keys)}"
    return found


def speed(restorer: Restoring, model: Model) -> dict[str, Any]:
    """Wall and processor time [s] of a noisy photograph of 1024 x 1024, and of a face of 256 x 256 enlarged 4 times."""
    from skimage.data import astronaut
    from skimage.transform import resize

    noise = np.random.default_rng(0).normal(0, 8 / 255, (1024, 1024, 3))
    large = np.rint(255 * (resize(astronaut(), (1024, 1024), order=3) + noise).clip(0, 1)).astype(np.uint8)
    small = np.ascontiguousarray(astronaut()[:256, 96:352])
    restore(small, model, restorer=restorer)
    found: dict[str, Any] = {"threads": torch.get_num_threads()}
    for name, picture, scale in (("1024 x 1024", large, 1), ("256 x 256, four times", small, 4)):
        wall, processor = time.perf_counter(), time.process_time()
        restore(picture, model, scale=scale, restorer=restorer)
        found[name] = {
            "wall": round(time.perf_counter() - wall, 2),
            "processor": round(time.process_time() - processor, 2),
        }
    return found | {"largest resident set [GB]": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)}


def main() -> None:
    """Tune, or run methods and write figures of all rows down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--validation", action="store_true", help="on faces of the validation split instead")
    parser.add_argument("--methods", default="all", help="names, with commas between; none: figures of kept rows alone")
    parser.add_argument("--scenes", type=int, default=25)
    parser.add_argument("--cases", type=int, help="the first so many kinds and strengths; all, if absent")
    parser.add_argument("--restorer", default="default")
    parser.add_argument("--plain", default="default", help="weights of the plain U-Net")
    parser.add_argument("--identity", type=Path)
    parser.add_argument("--rows", type=Path, default=ROOT / "data_iset" / "restored")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--speed", action="store_true", help="measure time and memory, too")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    if chosen.tune:
        with written_whole(SETTINGS) as part:
            part.write_text(json.dumps(tune(), indent=1) + "\n", encoding="utf-8")
        return
    settings = json.loads(SETTINGS.read_text(encoding="utf-8")) if SETTINGS.is_file() else {}
    model = load_model()
    known = methods(load_restorer(chosen.restorer), load_restorer(chosen.plain), model, settings)
    wanted = {"all": [*known], "none": []}.get(chosen.methods, chosen.methods.split(","))
    chosen.rows.mkdir(parents=True, exist_ok=True)
    if wanted:
        scenes = (
            validation_scenes(chosen.scenes)
            if chosen.validation
            else standin_scenes(ROOT / "data_iset" / "scenes", chosen.scenes)
        )
        judge = Judge(model, chosen.identity)
        cases = ordered_cases()[: chosen.cases]
        for name in wanted:
            run(scenes, judge, name, known[name], cases, chosen.rows / f"{name}.json", chosen.pictures)
    kept = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(chosen.rows.glob("*.json"))}
    found = figures(kept)
    if chosen.speed:
        found["speed"] = speed(load_restorer(chosen.restorer), model)
    print(json.dumps(found, indent=1))
    if chosen.record:
        record.write("restore", found)


if __name__ == "__main__":
    main()
