"""Front views of turned heads against the truth: colours, pigments, identity, beside simpler ways.

    python -m benchmarks.frontal [--heads 25] [--yaws 0,15,30,45,60,75] [--work FOLDER] [--identity MODELS] [--record]

Heads of the test split are rendered turned and facing the camera in the same light. All ways get the same 256 x 256
picture. Each result is laid on the true front view by the similarity of landmarks, true ones for ways that have none of
their own. Of the truth's pixels it is known which the turned picture shows ("seen"), of which it shows the other side
("mirrored"), and the rest ("filled").

Light from the side is on every head, the other two on each third at 45 degrees. Heads turn to either side in turn, and
their pitch goes through 0, -15, 0, 15 and 0 degrees.

Identity is the distance of dlib's descriptors on chips that the true landmarks align; MODELS is the folder `models` of
the package face_recognition_models 0.3.0, of which only dlib_face_recognition_resnet_model_v1.dat is read, by path.

What is rendered and measured is kept in the folder of --work; a run that was stopped goes on from there.

Mirrored colours: T. Hassner et al., "Effective face frontalization in unconstrained images", CVPR 2015, on this
project's surface: where the other side is seen better, its colours come in.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skimage.metrics import structural_similarity
from skimage.transform import AffineTransform, SimilarityTransform, warp

from benchmarks import frontal_completion
from benchmarks.frontal_scenes import Head, Picture, known_classes, lights, make_heads, pictures
from benchmarks.record import write
from biofacenet.prediction import Model, load_model
from biofacenet.surface.completion import Known, complete
from biofacenet.surface.frontal import by_network, draw
from biofacenet.surface.unwrap import FaceTexture, pigments_everywhere, unwrap
from msfit.errors import InputError
from msfit.face.pose import still_vertices
from msfit.face.subdivision import fine_face
from msfit.face.texture import sample, sample_square, view
from msfit.io.output import written_whole

YAWS = (0, 15, 30, 45, 60, 75)
PITCHES = (0, -15, 0, 15, 0)
# Training faces that completion is learned on.
_FACES = 150
# The yaw at which every light is seen, on each third head.
_EVERY_LIGHT, _SHARE = 45, 3
_CHIP = 150
CLASSES = ("face", "seen", "mirrored", "filled")
Made = tuple[dict[str, np.ndarray], FaceTexture | None]


def given(turned: Picture, front: Picture, model: Model) -> Made:
    """The picture as it is, and stretched."""
    still = still_vertices()
    kinds = (("as it is", SimilarityTransform), ("affine", AffineTransform))
    return {name: laid(turned.rgb, turned.landmarks[still], front.landmarks[still], kind) for name, kind in kinds}, None


def geometric(turned: Picture, front: Picture, model: Model) -> Made:
    """Pigments, and colours, on the surface that is found."""
    try:
        texture = unwrap(turned.rgb, model)
    except InputError:
        return {}, None
    drawn = draw(texture).rgb
    made = {"mirrored colours": mirrored_colours(texture, drawn), "geometric": drawn}
    return {name: laid_by_surface(rgb, texture, front) for name, rgb in made.items()}, texture


def weak_perspective(turned: Picture, front: Picture, model: Model) -> Made:
    """Geometric, by a camera at infinity."""
    try:
        texture = unwrap(turned.rgb, model, camera="weak-perspective")
    except InputError:
        return {}, None
    return {"geometric, weak perspective": laid_by_surface(draw(texture).rgb, texture, front)}, None


def learned(turned: Picture, front: Picture, model: Model, networks: Mapping[str, str]) -> Made:
    """The U-Net, by weights of several names."""
    try:
        texture = unwrap(turned.rgb, model)
    except InputError:
        return {}, None
    seen = draw(texture)
    made = {name: by_network(seen, weights).rgb for name, weights in networks.items()}
    return {name: laid_by_surface(rgb, texture, front) for name, rgb in made.items()}, None


WAYS: dict[str, Callable[[Picture, Picture, Model], Made]] = {
    "given": given,
    "geometric": geometric,
    "weak": weak_perspective,
}


def completed(turned: Picture, front: Picture, model: Model, learned: frontal_completion.Learned) -> dict[str, float]:
    """RMSE of pigments where hidden texels are mirrored, continued smoothly alone, or learned."""
    try:
        texture = unwrap(turned.rgb, model)
    except InputError:
        return {}
    classes = known_classes(front, turned)
    one = texture.records[0]
    pigments = pigments_everywhere(np.stack([one.f_mel, one.f_blood], axis=2), one.weight)
    ways = {
        "mirror": complete(pigments, one.weight).values,
        "smooth": complete(pigments, one.weight, mirror=False).values,
        "learned": learned.completed(pigments, one.weight),
    }
    found: dict[str, float] = {}
    for way, values in ways.items():
        maps = {"f_mel": values[..., 0], "f_blood": values[..., 1]}
        found |= {f"{way}, {name}": value for name, value in pigment_errors(maps, front, classes).items()}
    return found


def mirrored_colours(texture: FaceTexture, drawn: np.ndarray) -> np.ndarray:
    """The front view `drawn` with the picture's colours, and the other side's where that is seen better."""
    first = texture.records[0]
    surface = first.surface
    shown = view(surface, surface.turned(), (drawn.shape[0], drawn.shape[1]))
    uv = shown.at(fine_face().uv)
    sides = []
    for flip, visible in (([1, 1, 1], first.visible), ([-1, 1, 1], first.visible[:, ::-1])):
        points, normals = shown.at(surface.vertices) * flip, shown.at(surface.normals) * flip
        facing = np.einsum("nc,nc->n", normals, surface.camera.view(points)) * np.nan_to_num(sample_square(visible, uv))
        colours = sample(first.photo.rgb, surface.camera.project(points)[:, :2])
        sides.append((colours, np.clip((facing - 0.3) / 0.3, 0, 1)))
    (own, seen), (other, better) = sides
    share = np.clip(better - seen, 0, 1)[:, None]
    made = drawn.copy()
    made.reshape(-1, 3)[shown.pixel] = np.rint(np.nan_to_num((1 - share) * own + share * other)).clip(0, 255)
    return made


def laid_by_surface(rgb: np.ndarray, texture: FaceTexture, front: Picture) -> np.ndarray:
    """A front view laid on the true one by the landmarks that were found."""
    still, surface = still_vertices(), texture.records[0].surface
    own = surface.turned().project(surface.landmarks)[still, :2]
    return laid(rgb, own, front.landmarks[still], SimilarityTransform)


def laid(rgb: np.ndarray, source: np.ndarray, target: np.ndarray, kind: Any) -> np.ndarray:
    """A picture moved so that points lie on others: float (y, x, 3) in [0, 1]."""
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


def surface_errors(texture: FaceTexture, turned: Picture, front: Picture, classes: np.ndarray) -> dict[str, float]:
    """Landmarks [pixels], the yaw that was found, and RMSE of pigments at the places that the true front view shows."""
    surface = texture.records[0].surface
    off = np.linalg.norm(surface.camera.project(surface.landmarks)[:, :2] - turned.landmarks, axis=1)
    return {
        "landmarks": float(np.median(off)),
        "yaw_found": abs(surface.yaw),
        **pigment_errors({"f_mel": texture.f_mel, "f_blood": texture.f_blood}, front, classes),
    }


def pigment_errors(maps: Mapping[str, np.ndarray], front: Picture, classes: np.ndarray) -> dict[str, float]:
    """RMSE of f_mel and f_blood in the canonical square at the places that the true front view shows, by class."""
    state = classes.reshape(-1)[front.pixel]
    found = {}
    for name in ("f_mel", "f_blood"):
        off = sample_square(maps[name], front.uv) - front.pigments[name]
        for group in ("seen", "mirrored", "filled"):
            here = (state == Known[group.upper()]) & np.isfinite(off)
            if here.sum() >= 50:
                found[f"{name} {group}"] = float(np.sqrt(np.square(off[here]).mean()))
    return found


class Identity:
    """Descriptors (128,) by dlib's ResNet, on chips that known landmarks align."""

    def __init__(self, models: Path) -> None:
        import dlib

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


class Run:
    """Rows of one run, kept in a folder: what was measured before is read."""

    def __init__(
        self, split: str, identity: Identity | None, work: Path | None, shown: Path | None, networks: Mapping[str, str]
    ) -> None:
        self.model = load_model()
        self.ways = WAYS | {"learned": functools.partial(learned, networks=networks)}
        self.identity, self.work, self.shown = identity, work, shown
        self.split = split

    def pictures(self, head: Head, yaw: float, pitch: float) -> dict[str, Picture]:
        names = [name for name in lights() if name == "side" or head.number % _SHARE == 0]
        folder = self.work / f"pictures-{self.split}" if self.work else None
        return pictures(head, yaw, pitch, names, self.model.training["skin_model"], folder)

    def rows(self, heads: list[Head], yaws: list[int], names: list[str], ways: list[str]) -> list[dict[str, Any]]:
        """Every way on every head."""
        plan = [(name, size) for size in yaws for name in names if name == "side"]
        plan += [(name, size) for size in yaws for name in names if name != "side" and size == _EVERY_LIGHT]
        found = []
        for light, size in plan:
            for head in heads:
                if light == "side" or head.number % _SHARE == 0:
                    for way in ways:
                        found += self._kept(head, size, light, way)
            print(f"{light}, {size} degrees: {len(found)} rows", flush=True)
        return found

    def _kept(self, head: Head, size: int, light: str, way: str) -> list[dict[str, Any]]:
        if self.work is None:
            return self._measured(head, size, light, way)
        path = self.work / f"rows-{self.split}" / f"{light}-{size}-head{head.number}-{way}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = self._measured(head, size, light, way)
            with written_whole(path) as part:
                part.write_text(json.dumps(rows))
        return list(json.loads(path.read_text()))

    def _measured(self, head: Head, size: int, light: str, way: str) -> list[dict[str, Any]]:
        yaw, pitch = _turn(head, size)
        front, turned = self.pictures(head, 0, 0)[light], self.pictures(head, yaw, pitch)[light]
        classes = known_classes(front, turned)
        started = time.process_time()
        made, texture = self.ways[way](turned, front, self.model)
        base = {"head": head.number, "ita_class": head.person.ita_class, "light": light, "yaw": size}
        base |= {"seconds": time.process_time() - started}
        if texture is not None:
            base |= surface_errors(texture, turned, front, classes)
        rows: list[dict[str, Any]] = []
        for name, picture in made.items():
            row = {**base, "way": name, "found": True, **scores(picture, front.rgb / 255.0, classes)}
            if self.identity is not None:
                row["descriptor"] = self.identity(picture, front.landmarks).tolist()
                if not rows:
                    row["true descriptor"] = self.identity(front.rgb / 255.0, front.landmarks).tolist()
            rows.append(row)
        if self.shown is not None:
            tiles = [turned.rgb / 255.0, *made.values(), front.rgb / 255.0]
            self._show(f"{light}-{size}-head{head.number:02d}-{way}", tiles)
        return rows or [{**base, "way": way, "found": False}]

    def _show(self, name: str, tiles: list[np.ndarray]) -> None:
        from PIL import Image

        assert self.shown is not None
        self.shown.mkdir(parents=True, exist_ok=True)
        sheet = np.rint(255 * np.concatenate(tiles, axis=1).clip(0, 1)).astype(np.uint8)
        Image.fromarray(sheet).save(self.shown / f"{name}.png")

    def two_views(self, heads: list[Head]) -> dict[str, float]:
        """Pigments of two views (30 degrees to either side) joined, over the better of the two on each head."""
        ratios, means = defaultdict(list), defaultdict(list)
        for head in heads:
            truth = self.pictures(head, 0, 0)["side"]
            views = [self.pictures(head, yaw, 0)["side"] for yaw in (30, -30)]
            try:
                textures = [unwrap(one.rgb, self.model) for one in views]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    joined = unwrap([one.rgb for one in views], self.model)
            except InputError:
                continue
            everything = np.where(known_classes(truth, truth) > 0, Known.SEEN, 0).astype(np.uint8)
            for name in ("f_mel", "f_blood"):
                off = [
                    pigment_errors({"f_mel": one.f_mel, "f_blood": one.f_blood}, truth, everything)[f"{name} seen"]
                    for one in (*textures, joined)
                ]
                ratios[name].append(off[2] / min(off[:2]))
                means[name].append(off[2] / (off[0] + off[1]) * 2)
        figures: dict[str, float] = {"heads": len(ratios["f_mel"])}
        for name, over in ratios.items():
            figures |= {
                f"{name} median": float(np.median(over)),
                f"{name} worst": float(np.max(over)),
                f"{name} above 1.1": float(np.sum(np.array(over) > 1.1)),
                f"{name} over the mean of both, median": float(np.median(means[name])),
            }
        return figures

    def completions(self, heads: list[Head], size: int) -> dict[str, float]:
        """Hidden texels at one yaw, light from the side, by the ways of `completed`: means over heads."""
        learned = frontal_completion.learn(_FACES, self.work, self.model.training["skin_model"])
        rows = []
        for head in heads:
            yaw, pitch = _turn(head, size)
            front, turned = self.pictures(head, 0, 0)["side"], self.pictures(head, yaw, pitch)["side"]
            rows.append(completed(turned, front, self.model, learned))
        names = sorted({name for row in rows for name in row})
        return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _turn(head: Head, size: int) -> tuple[int, int]:
    """Yaw and pitch of a head that is turned by `size` degrees."""
    yaw = size if head.number % 2 == 0 else -size
    turn = YAWS.index(size) if size in YAWS else 0
    return yaw, 0 if size == 0 else PITCHES[(head.number + turn) % len(PITCHES)]


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means by light, yaw and way; identity against the true front views of all heads in that light."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    fronts: dict[tuple[str, int], np.ndarray] = {}
    for row in rows:
        groups[row["light"], row["yaw"], row["way"]].append(row)
        if "true descriptor" in row:
            fronts[row["light"], row["head"]] = np.array(row["true descriptor"])
    lines = []
    for (light, yaw, way), members in sorted(groups.items(), key=lambda item: item[0][:2]):
        line: dict[str, Any] = {"light": light, "yaw": yaw, "way": way, "pictures": len(members)}
        for key in sorted({key for row in members for key, value in row.items() if isinstance(value, float | bool)}):
            line[key] = float(np.mean([row[key] for row in members if key in row]))
        line |= _identities([row for row in members if "descriptor" in row], fronts)
        lines.append(line)
    return lines


def _identities(members: list[dict[str, Any]], fronts: dict[tuple[str, int], np.ndarray]) -> dict[str, Any]:
    if not members:
        return {}
    apart, first = [], 0
    for row in members:
        own = np.array(row["descriptor"])
        distance = {
            head: float(np.linalg.norm(own - front)) for (light, head), front in fronts.items() if light == row["light"]
        }
        apart.append(distance[row["head"]])
        first += min(distance, key=lambda head: distance[head]) == row["head"]
    return {"distance": float(np.mean(apart)), "rank1": first, "among": len(distance)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=25)
    parser.add_argument("--split", default="test", help="whose skin the heads wear: train, validation, test")
    parser.add_argument("--yaws", default=",".join(map(str, YAWS)), help="degrees")
    parser.add_argument("--lights", default=",".join(lights()), help="some of them")
    parser.add_argument("--ways", default=",".join((*WAYS, "learned")), help="some of them")
    parser.add_argument("--views", type=int, default=6, help="heads of which two views are joined")
    parser.add_argument("--completion", action="store_true", help="hidden texels mirrored, smooth and learned")
    parser.add_argument("--identity", type=Path, help="folder with dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("--network", type=Path, help="weights of a learned front view beside the shipped ones")
    parser.add_argument("--work", type=Path, help="folder where pictures and rows are kept")
    parser.add_argument("--pictures", type=Path, help="folder for pictures to look at")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/frontal.json")
    arguments = parser.parse_args()
    heads = make_heads(arguments.heads, arguments.split)
    identity = Identity(arguments.identity) if arguments.identity else None
    networks = {"network": "default"}
    if arguments.network:
        networks["network of a file"] = str(arguments.network)
    run = Run(arguments.split, identity, arguments.work, arguments.pictures, networks)
    yaws, names = [int(yaw) for yaw in arguments.yaws.split(",")], arguments.lights.split(",")
    report = {
        "heads": len(heads),
        "split": arguments.split,
        "table": table(run.rows(heads, yaws, names, arguments.ways.split(","))),
        "completion": run.completions(heads, _EVERY_LIGHT) if arguments.completion else {},
        "two_views": run.two_views(heads[:: max(1, len(heads) // arguments.views)]) if arguments.views else {},
    }
    _say(report)
    if arguments.record:
        print("written:", write("frontal", report))


def _say(report: dict[str, Any]) -> None:
    columns = ("psnr face", "psnr seen", "psnr mirrored", "psnr filled", "ssim face", "distance", "rank1", "among")
    print(f"{'light':9}{'yaw':>4}  {'way':28}{'n':>4}" + "".join(f"{name:>14}" for name in columns))
    for line in report["table"]:
        figures = "".join(f"{line[name]:14.3f}" if name in line else f"{'-':>14}" for name in columns)
        print(f"{line['light']:9}{line['yaw']:4}  {line['way']:28}{line['pictures']:4}{figures}")
    print()
    own = ["found", "landmarks", "yaw_found", "f_mel seen", "f_mel mirrored", "f_mel filled", "f_blood seen"]
    own += ["f_blood mirrored", "seconds"]
    print(f"{'light':9}{'yaw':>4}" + "".join(f"{name:>17}" for name in own))
    for line in report["table"]:
        if line["way"] == "geometric":
            figures = "".join(f"{line[name]:17.4f}" if name in line else f"{'-':>17}" for name in own)
            print(f"{line['light']:9}{line['yaw']:4}{figures}")
    for name, value in report["completion"].items():
        print(f"{name:28}{value:8.4f}")
    print("\ntwo views joined over the better one, RMSE:", report["two_views"])


if __name__ == "__main__":
    main()
