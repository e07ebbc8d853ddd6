"""Front views of turned heads against the truth: colours, pigments, identity, beside simpler ways.

    python -m benchmarks.frontal [--heads 25] [--yaws 0,15,30,45,60,75] [--lights all] [--identity MODELS] [--record]

Heads of the test split are rendered turned and facing the camera in the same light. All ways get the same 256 x 256
picture. Each result is laid on the true front view by the similarity of landmarks, true ones for ways that have none of
their own. Of the truth's pixels it is known which the turned picture shows ("seen"), of which it shows the other side
("mirrored"), and the rest ("filled").

Identity is the distance of dlib's descriptors on chips that the true landmarks align; MODELS is the folder `models` of
the package face_recognition_models 0.3.0, of which only dlib_face_recognition_resnet_model_v1.dat is read, by path.

Mirrored colours: T. Hassner et al., "Effective face frontalization in unconstrained images", CVPR 2015, on this
project's surface.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation
from skimage.metrics import structural_similarity
from skimage.transform import AffineTransform, SimilarityTransform, warp

from benchmarks.record import write
from biofacenet.prediction import Model, load_model
from biofacenet.surface.completion import Known
from biofacenet.surface.frontal import draw
from biofacenet.surface.unwrap import FaceTexture, unwrap
from msfit.errors import InputError
from msfit.face.pose import still_vertices
from msfit.face.texture import sample, sample_square, view
from msfit.synth.appearance import random_surface, texture_sheets
from msfit.synth.appearance import surface as dress
from msfit.synth.buffers import CAMERA_DISTANCE, FACE, Buffers, Pose, directions, solid_angle, trace
from msfit.synth.light import Light
from msfit.synth.mesh import template
from msfit.synth.people import Subject, wearable
from msfit.synth.sampling import _reference_weights
from msfit.synth.scene import coat, shading
from msfit.synth.shape import random_shape, rotation
from msfit.synth.spectra import WAVELENGTHS, random_palette
from msfit.synth.texture import random_texture
from msfit.synth.truth import fitted_pigments

SIZE = 256
_HALF_HEIGHT, _CENTRE, _TURNED_ABOUT = 12.4, (0.0, -0.4), np.array([0, 0, -3.0])
YAWS = (0, 15, 30, 45, 60, 75)
PITCHES = (0, -15, 0, 15, 0)
_DIRECTIONS = 128
_CHIP = 150
CLASSES = ("face", "seen", "mirrored", "filled")
METHODS = ("as it is", "affine", "mirrored colours", "geometric", "geometric, weak perspective")


class Head(NamedTuple):
    """A test head: its seed, whose skin it wears, and its landmarks [cm]."""

    number: int
    person: Subject
    landmarks: np.ndarray


class Picture(NamedTuple):
    """A rendered head: uint8 sRGB (y, x, 3), what each pixel shows, its skin, and where its landmarks are [pixels]."""

    rgb: np.ndarray
    buffers: Buffers
    reflectance: np.ndarray
    landmarks: np.ndarray


def lights() -> dict[str, Light]:
    """Frontal, from the side, overcast: radiance on the traced directions."""
    ways = directions(_DIRECTIONS).astype(np.float64)

    def lamp(azimuth: float, elevation: float, width: float) -> np.ndarray:
        a, e = np.radians((azimuth, elevation))
        lobe = np.exp((ways @ [np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)] - 1) / (1 - np.cos(width)))
        return np.asarray(lobe / lobe.sum())

    dome = np.ones(_DIRECTIONS) / _DIRECTIONS
    sky = np.clip(0.3 + ways[:, 1], 0.1, None)
    made = {
        "frontal": lamp(0, 15, 0.35) + 0.25 * dome,
        "side": lamp(-65, 20, 0.3) + 0.25 * dome,
        "overcast": sky / sky.sum(),
    }
    return {name: _levelled(total, ways) for name, total in made.items()}


def _levelled(total: np.ndarray, ways: np.ndarray) -> Light:
    white = np.clip(ways @ ways.T, 0, None) @ total * solid_angle(_DIRECTIONS) / np.pi
    return Light((total / white.max()).astype(np.float32), 1.0)


def make_heads(count: int, split: str = "test") -> list[Head]:
    """Heads of a split, alike in every class of skin tone."""
    people = sorted(wearable(split), key=lambda one: one.ita)
    chosen = [people[int(k)] for k in np.linspace(0, len(people) - 1, count).round()]
    made = []
    for number, person in enumerate(chosen):
        shape = random_shape(_stream(number), eyes_open=1.0)
        made.append(Head(number, person, (template().refine @ shape.control)[:468]))
    return made


def _stream(number: int) -> np.random.Generator:
    return np.random.default_rng((18, number))


def photograph(head: Head, yaw: float, pitch: float, names: list[str]) -> dict[str, Picture]:
    """The head under several lights, turned as given [degrees]."""
    pose = Pose(np.radians(yaw), np.radians(-pitch), 0.0, _HALF_HEIGHT, _CENTRE)
    buffers = trace(_stream(head.number), SIZE, pose, eyes_open=1.0, count=_DIRECTIONS)
    rng = np.random.default_rng((19, head.number))
    palette = random_palette(rng, head.person.ita)
    paint = random_texture(rng, round(1.5 * SIZE), head.person.ita, beard=not buffers.long_hair)
    dressed = dress(buffers, texture_sheets(paint), palette, random_surface(rng))
    spectra, _ = coat(dressed, head.person, palette.brow, "measured", "alotaibi-smith-2019")
    weights = _reference_weights()
    turned = (head.landmarks - _TURNED_ABOUT) @ rotation(pose.yaw, pose.pitch, pose.roll).T + _TURNED_ABOUT
    turned = turned - [*_CENTRE, 0]
    k = CAMERA_DISTANCE / (CAMERA_DISTANCE - turned[:, 2:])
    landmarks = SIZE / 2 + SIZE / 2 / _HALF_HEIGHT * k * turned[:, :2] * [1, -1]
    made = {}
    for name in names:
        i_d, i_s = shading(buffers, dressed, lights()[name])
        linear = np.full((SIZE * SIZE, 3), 0.25)
        linear[buffers.pixel] = 0.9 * (i_d[:, None] * (spectra @ weights) + i_s[:, None] * weights.sum(axis=0))
        made[name] = Picture(_encoded(linear).reshape(SIZE, SIZE, 3), buffers, spectra, landmarks)
    return made


def _encoded(linear: np.ndarray) -> np.ndarray:
    clipped = np.clip(linear, 0, 1)
    srgb = np.where(clipped > 0.0031308, 1.055 * clipped ** (1 / 2.4) - 0.055, 12.92 * clipped)
    return np.rint(255 * srgb).astype(np.uint8)


def known_classes(front: Picture, turned: Picture) -> np.ndarray:
    """Which pixels of the true front view the turned picture shows: uint8 (y, x) of `Known`."""
    cells = 160
    sheet = np.zeros((cells, cells), bool)
    on_face = turned.buffers.region == FACE
    column, row = (turned.buffers.uv[on_face] * cells).astype(int).clip(0, cells - 1).T
    sheet[row, column] = True
    sheet = binary_dilation(sheet)
    own = front.buffers.region == FACE
    column, row = (front.buffers.uv[own] * cells).astype(int).clip(0, cells - 1).T
    state = np.where(
        sheet[row, column], Known.SEEN, np.where(sheet[row, cells - 1 - column], Known.MIRRORED, Known.FILLED)
    )
    classes = np.zeros(SIZE * SIZE, np.uint8)
    classes[front.buffers.pixel[own]] = state
    return classes.reshape(SIZE, SIZE)


def mirrored_colours(texture: FaceTexture) -> np.ndarray:
    """The front view with the picture's colours, and those of the other side where it shows none: uint8 (y, x, 3)."""
    first = texture.records[0]
    surface = first.surface
    shown = view(surface, surface.turned(), (SIZE, SIZE))
    points, normals = shown.at(surface.vertices), shown.at(surface.normals)
    own = sample(first.photo.rgb, surface.camera.project(points)[:, :2])
    other = sample(first.photo.rgb, surface.camera.project(points * [-1, 1, 1])[:, :2])
    facing = np.einsum("nc,nc->n", normals, surface.camera.view(points)) * surface.seen(points, normals)
    share = np.clip((facing - 0.3) / 0.3, 0, 1)[:, None]
    drawn = draw(texture).rgb.copy()
    drawn.reshape(-1, 3)[shown.pixel] = np.rint(np.nan_to_num(share * own + (1 - share) * other)).clip(0, 255)
    return drawn


def front_views(
    turned: Picture, front: Picture, model: Model, every: bool = True
) -> tuple[dict[str, np.ndarray], FaceTexture | None, Any]:
    """Each way's picture, laid on the true front view, float (y, x, 3) in [0, 1]; the texture; landmark errors."""
    still = still_vertices()
    made: dict[str, np.ndarray] = {}
    for name, kind in (("as it is", SimilarityTransform), ("affine", AffineTransform)):
        made[name] = _laid(turned.rgb, turned.landmarks[still], front.landmarks[still], kind)
    try:
        texture = unwrap(turned.rgb, model)
    except InputError:
        return made, None, None
    surface = texture.records[0].surface
    own = surface.turned().project(surface.landmarks)[:, :2]
    for name, rgb in (("mirrored colours", mirrored_colours(texture)), ("geometric", draw(texture).rgb)):
        made[name] = _laid(rgb, own[still], front.landmarks[still], SimilarityTransform)
    if not every:
        return made, texture, _landmark_errors(texture, turned)
    weak = unwrap(turned.rgb, model, camera="weak-perspective")
    flat = weak.records[0].surface
    made["geometric, weak perspective"] = _laid(
        draw(weak).rgb,
        flat.turned().project(flat.landmarks)[still, :2],
        front.landmarks[still],
        SimilarityTransform,
    )
    return made, texture, _landmark_errors(texture, turned)


def _landmark_errors(texture: FaceTexture, turned: Picture) -> np.ndarray:
    """How far each landmark is off in the turned picture [pixels]."""
    surface = texture.records[0].surface
    return np.linalg.norm(surface.camera.project(surface.landmarks)[:, :2] - turned.landmarks, axis=1)


def _laid(rgb: np.ndarray, source: np.ndarray, target: np.ndarray, kind: Any) -> np.ndarray:
    # landmarks count from the corner of the first pixel, warp from its centre
    moved = kind.from_estimate(target - 0.5, source - 0.5)
    return np.asarray(warp(rgb / 255.0, moved, order=1, mode="edge"))


def scores(made: np.ndarray, truth: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """PSNR [dB] and SSIM over the face and its classes."""
    error = np.square(made - truth).mean(axis=2)
    similar = structural_similarity(made, truth, channel_axis=2, data_range=1.0, full=True)[1].mean(axis=2)
    found = {}
    for name in CLASSES:
        here = classes > 0 if name == "face" else classes == Known[name.upper()]
        if here.sum() >= 50:
            found[f"psnr {name}"] = float(-10 * np.log10(max(float(error[here].mean()), 1e-10)))
            found[f"ssim {name}"] = float(similar[here].mean())
    return found


def pigment_errors(texture: FaceTexture, front: Picture, classes: np.ndarray) -> dict[str, float]:
    """RMSE of f_mel and f_blood at the canonical places that the true front view shows, by class."""
    own = front.buffers.region == FACE
    truth = fitted_pigments(
        front.reflectance[own].astype(np.float32), WAVELENGTHS, texture.records[0].result.model, "float32"
    )
    uv = front.buffers.uv[own].astype(np.float64)
    state = classes.reshape(-1)[front.buffers.pixel[own]]
    found = {}
    for name in ("f_mel", "f_blood"):
        off = sample_square(getattr(texture, name), uv) - truth[name]
        for group in ("seen", "mirrored", "filled"):
            here = (state == Known[group.upper()]) & np.isfinite(off)
            if here.sum() >= 50:
                found[f"{name} {group}"] = float(np.sqrt(np.square(off[here]).mean()))
    return found


class Identity:
    """Descriptors (128,) by dlib's ResNet, on chips that known landmarks align."""

    def __init__(self, models: Path) -> None:
        import dlib

        self._dlib = dlib
        self._net = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))

    def __call__(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        # eyes' corners and the foot of the nose, as dlib's five points, to where they lie in its chips
        five = landmarks[[263, 362, 33, 133, 2]]
        aim = _FIVE * _CHIP
        moved = SimilarityTransform.from_estimate(aim - 0.5, five - 0.5)
        chip = np.rint(255 * warp(picture, moved, output_shape=(_CHIP, _CHIP), order=1, mode="edge")).astype(np.uint8)
        return np.array(self._net.compute_face_descriptor(np.ascontiguousarray(chip)))


# dlib's mean places of the five points in a chip with a padding of 0.25 (get_face_chip_details, image_transforms).
_FIVE = (
    np.array(
        [
            (0.8595674595992, 0.2134981538014),
            (0.6460604764104, 0.2289674387677),
            (0.1205750620789, 0.2137274526848),
            (0.3340850613712, 0.2290642403242),
            (0.4901123135679, 0.6277975316475),
        ]
    )
    + 0.25
) / 1.5


def run(count: int, yaws: list[int], names: list[str], models: Path | None, folder: Path | None) -> dict[str, Any]:
    """All figures, by light, yaw and way."""
    model = load_model()
    heads = make_heads(count)
    identity = Identity(models) if models is not None else None
    rows: list[dict[str, Any]] = []
    fronts: dict[tuple[int, str], np.ndarray] = {}
    for head in heads:
        # the light that matters most on every head, the others on each third
        wanted = [name for name in names if name == "side" or head.number % 3 == 0]
        truth = photograph(head, 0, 0, wanted)
        for light in wanted:
            if identity is not None:
                fronts[head.number, light] = identity(truth[light].rgb / 255.0, truth[light].landmarks)
        for number, size in enumerate(yaws):
            yaw = size if head.number % 2 == 0 else -size
            pitch = 0 if size == 0 else PITCHES[(head.number + number) % len(PITCHES)]
            turned = photograph(head, yaw, pitch, wanted)
            for light in wanted:
                classes = known_classes(truth[light], turned[light])
                started = time.perf_counter()
                every = head.number % 5 == 0
                made, texture, off = front_views(turned[light], truth[light], model, every)
                seconds = time.perf_counter() - started
                base = {"head": head.number, "ita_class": head.person.ita_class, "light": light, "yaw": size}
                base |= {"found": texture is not None, "seconds": seconds}
                if texture is not None:
                    base |= {"landmarks": float(np.median(off)), "yaw_found": abs(texture.records[0].surface.yaw)}
                    base |= pigment_errors(texture, truth[light], classes)
                for way, picture in made.items():
                    row = {**base, "way": way, **scores(picture, truth[light].rgb / 255.0, classes)}
                    if identity is not None:
                        row["descriptor"] = identity(picture, truth[light].landmarks)
                    rows.append(row)
                if folder is not None and size in (45, 75) and light == "side":
                    _keep(folder, head, size, turned[light], made, truth[light])
    return {"heads": count, "table": _table(rows, fronts), "rows": _plain(rows)}


def _table(rows: list[dict[str, Any]], fronts: dict[tuple[int, str], np.ndarray]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["light"], row["yaw"], row["way"]].append(row)
    table = []
    for (light, yaw, way), members in sorted(groups.items(), key=lambda item: (item[0][0], item[0][1])):
        line: dict[str, Any] = {"light": light, "yaw": yaw, "way": way, "pictures": len(members)}
        for key in {key for row in members for key, value in row.items() if isinstance(value, float | bool)}:
            line[key] = float(np.mean([row[key] for row in members if key in row]))
        line |= _identities(members, fronts)
        table.append(line)
    return table


def _identities(members: list[dict[str, Any]], fronts: dict[tuple[int, str], np.ndarray]) -> dict[str, Any]:
    if not fronts:
        return {}
    apart, first = [], 0
    for row in members:
        others = {head: value for (head, light), value in fronts.items() if light == row["light"]}
        distance = {head: float(np.linalg.norm(row["descriptor"] - value)) for head, value in others.items()}
        apart.append(distance[row["head"]])
        first += min(distance, key=lambda head: distance[head]) == row["head"]
    return {"distance": float(np.mean(apart)), "rank1": first}


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in row.items()
            if key != "descriptor"
        }
        for row in rows
    ]


def two_views(count: int) -> dict[str, float]:
    """Pigments of two views (30 degrees to either side) joined, over the better of the two at each place."""
    model = load_model()
    ratios = defaultdict(list)
    for head in make_heads(25)[:: max(1, 25 // count)][:count]:
        truth = photograph(head, 0, 0, ["side"])["side"]
        views = [photograph(head, yaw, 0, ["side"])["side"] for yaw in (30, -30)]
        try:
            textures = [unwrap(one.rgb, model) for one in views]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                joined = unwrap([one.rgb for one in views], model)
        except InputError:
            continue
        everything = np.where(known_classes(truth, truth) > 0, Known.SEEN, 0).astype(np.uint8)
        for name in ("f_mel", "f_blood"):
            each = [pigment_errors(one, truth, everything)[f"{name} seen"] for one in textures]
            ratios[name].append(pigment_errors(joined, truth, everything)[f"{name} seen"] / min(each))
    return {f"{name} median": float(np.median(found)) for name, found in ratios.items()} | {
        f"{name} worst": float(np.max(found)) for name, found in ratios.items()
    }


def _keep(folder: Path, head: Head, yaw: int, turned: Picture, made: dict[str, np.ndarray], truth: Picture) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    tiles = [turned.rgb / 255.0, *(made[way] for way in METHODS if way in made), truth.rgb / 255.0]
    Image.fromarray(np.rint(255 * np.concatenate(tiles, axis=1).clip(0, 1)).astype(np.uint8)).save(
        folder / f"{head.number:02d}-{yaw}.png"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=25)
    parser.add_argument("--yaws", default=",".join(map(str, YAWS)), help="degrees, heads turn to both sides in turn")
    parser.add_argument("--lights", default=",".join(lights()), help="some of them")
    parser.add_argument("--views", type=int, default=6, help="heads of which two views are joined")
    parser.add_argument("--identity", type=Path, help="folder with dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("--pictures", type=Path, help="folder for pictures to look at")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/frontal.json")
    arguments = parser.parse_args()
    yaws, names = [int(yaw) for yaw in arguments.yaws.split(",")], arguments.lights.split(",")
    report = run(arguments.heads, yaws, names, arguments.identity, arguments.pictures)
    report["two_views"] = two_views(arguments.views) if arguments.views else {}
    _say(report)
    if arguments.record:
        print("written:", write("frontal", {key: report[key] for key in ("heads", "table", "two_views")}))


def _say(report: dict[str, Any]) -> None:
    columns = (
        "psnr face",
        "psnr seen",
        "psnr mirrored",
        "psnr filled",
        "ssim face",
        "ssim mirrored",
        "distance",
        "rank1",
    )
    print(f"{'light':9}{'yaw':>4}  {'way':28}{'n':>4}" + "".join(f"{name:>14}" for name in columns))
    for line in report["table"]:
        figures = "".join(f"{line[name]:14.3f}" if name in line else f"{'-':>14}" for name in columns)
        print(f"{line['light']:9}{line['yaw']:4}  {line['way']:28}{line['pictures']:4}{figures}")
    print()
    own = (
        "found",
        "landmarks",
        "yaw_found",
        "f_mel seen",
        "f_mel mirrored",
        "f_mel filled",
        "f_blood seen",
        "f_blood mirrored",
    )
    print(f"{'light':9}{'yaw':>4}" + "".join(f"{name:>17}" for name in own))
    for line in report["table"]:
        if line["way"] == "as it is":
            figures = "".join(f"{line[name]:17.4f}" if name in line else f"{'-':>17}" for name in own)
            print(f"{line['light']:9}{line['yaw']:4}{figures}")
    print("\ntwo views joined over the better one, RMSE:", report["two_views"])


if __name__ == "__main__":
    main()
