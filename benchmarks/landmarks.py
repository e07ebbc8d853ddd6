"""Landmarks of rendered heads: how far they are off as found and corrected, and the correction itself.

    python -m benchmarks.landmarks [--heads 1200] [--test 200] [--work FOLDER] [--write] [--record]

Heads of the training split, each of another shape, turned by up to 75 degrees to either side and 18 up or down, in
light drawn at random, are rendered at 256 x 256. MediaPipe's landmark model looks at them twice, as in use, and a ridge
regression learns what separates its landmarks from the true vertices (`msfit.face.correction`). How many components
and how much shrinkage is chosen by generalised cross-validation (G. H. Golub, M. Heath, G. Wahba, Technometrics 21,
1979) within them. Heads of the validation split, of other shapes, are measured. `--write` writes the file that ships.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.record import write
from msfit.face import correction
from msfit.face.canonical import canonical_face
from msfit.face.correction import Correction, features, mirrored, moved, posed
from msfit.face.mesh import find_mesh, looked_at_twice
from msfit.face.pose import angles
from msfit.face.surface import vertex_normals, without_pose
from msfit.io.output import written_whole
from msfit.synth.buffers import CAMERA_DISTANCE, TURNED_ABOUT
from msfit.synth.heads import head_landmarks, photographed, see_head
from msfit.synth.light import random_light
from msfit.synth.people import wearable
from msfit.synth.shape import rotation

SIZE = 256
SEEDS = {"train": 41, "validation": 42}
_YAW, _PITCH = 75.0, 18.0
_DIRECTIONS = 32
# `see_head` shows the head at this scale [pixels a cm] about this point [cm].
_SCALE, _CENTRE = SIZE / 2 / 12.4, (0.0, -0.4, 0.0)
# Where the landmark model found something else than the face, nothing is to be learned [pixels].
_ASTRAY = 20.0
_COMPONENTS, _OFFSETS = (20, 40, 60), 50
_SHRINKAGE = (0.3, 1.0, 3.0, 10.0, 30.0)
GROUPS = ((0, 20), (20, 38), (38, 52), (52, 76))


class Looked(NamedTuple):
    """A head that the landmark model looked at."""

    yaw: float
    truth: np.ndarray
    """(468, 3): vertices as of `FaceMesh`."""
    found: np.ndarray | None


class Posed(NamedTuple):
    """Found and true landmarks in the frame of the found head."""

    found: np.ndarray
    pose: np.ndarray
    truth: np.ndarray


def look(number: int, split: str) -> Looked:
    """Render a head and look at it."""
    people, seed = wearable(split), SEEDS[split]
    rng = np.random.default_rng((seed, number))
    person = people[int(rng.integers(len(people)))]
    yaw, pitch = float(rng.uniform(-_YAW, _YAW)), float(rng.uniform(-_PITCH, _PITCH))
    shape = (seed, number, 1)
    seen = see_head(shape, (seed, number, 2), person, SIZE, yaw=yaw, pitch=pitch, count=_DIRECTIONS)
    light = random_light(rng, _DIRECTIONS)
    rgb = photographed(seen, light, exposure=0.8 / light.level, background=float(rng.uniform(0.02, 0.8)))
    turn = rotation(np.radians(yaw), np.radians(-pitch), 0)
    depth = ((head_landmarks(shape) - TURNED_ABOUT) @ turn.T + TURNED_ABOUT - _CENTRE)[:, 2]
    mesh = find_mesh(rgb)
    truth = np.column_stack([seen.landmarks, -_SCALE * depth])
    return Looked(yaw, truth, None if mesh is None else looked_at_twice(rgb, mesh).vertices)


def looks(split: str, count: int, work: Path | None) -> Iterator[Looked]:
    """Heads of a split, kept in a folder for the next time."""
    for number in range(count):
        path = work / f"{split}-{number:05d}.npz" if work else None
        if path is None or not path.exists():
            one = look(number, split)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                found = np.empty((0, 3)) if one.found is None else one.found
                with written_whole(path) as part, part.open("wb") as file:
                    np.savez(file, yaw=one.yaw, truth=one.truth, found=found)
        else:
            with np.load(path) as kept:
                one = Looked(float(kept["yaw"]), kept["truth"], kept["found"] if len(kept["found"]) else None)
        yield one


def pose(one: Looked) -> Posed:
    """What the correction is learned from."""
    assert one.found is not None
    found, turn, camera, flip = posed(one.found, (SIZE, SIZE))
    own, true_camera = without_pose(one.truth, (SIZE, SIZE), distance=CAMERA_DISTANCE)
    seen = true_camera.project(own)
    # depth in the unit of the found head, whose size is another
    seen[:, 2] *= true_camera.scale / camera.scale
    return Posed(found.ravel(), turn, mirrored(camera.unproject(seen), flip).ravel())


def learn(heads: list[Looked]) -> tuple[Correction, dict[str, float]]:
    """The correction with the least error of generalised cross-validation, and how it was made."""
    known = [one for one in heads if one.found is not None and _off(one.found, one.truth) < _ASTRAY]
    found, turns, truth = (np.array(column) for column in zip(*map(pose, known), strict=True))
    mean = found.mean(axis=0)
    _, spread, axes = np.linalg.svd(found - mean, full_matrices=False)
    off = truth - found
    offsets = np.linalg.svd(off - off.mean(axis=0), full_matrices=False)[2][:_OFFSETS]
    target = (off - off.mean(axis=0)) @ offsets.T
    best: tuple[float, int, float, np.ndarray] | None = None
    for count in _COMPONENTS:
        shapes = axes[:count] * (np.sqrt(len(found)) / spread[0]) * 3
        matrix = features((found - mean) @ shapes.T, turns)
        values, vectors = np.linalg.eigh(matrix.T @ matrix)
        turned = matrix @ vectors
        projected = turned.T @ target
        for shrinkage in _SHRINKAGE:
            hat = (turned**2 / (values + shrinkage)).sum()
            solved = projected / (values + shrinkage)[:, None]
            left = float(np.square(target - turned @ solved).sum()) / (1 - hat / len(found)) ** 2
            if best is None or left < best[0]:
                best = left, count, shrinkage, vectors @ solved
    assert best is not None
    _, count, shrinkage, weights = best
    shapes = axes[:count] * (np.sqrt(len(found)) / spread[0]) * 3
    spread = ((found - mean) @ shapes.T).std(axis=0)
    made = Correction(mean, shapes, spread, off.mean(axis=0), offsets, weights)
    return made, {"heads": len(heads), "found": len(known), "components": count, "shrinkage": shrinkage}


def packed(made: Correction) -> bytes:
    """The file that ships."""
    content = io.BytesIO()
    np.savez_compressed(content, **{name: value.astype(np.float32) for name, value in made._asdict().items()})
    return content.getvalue()


def measure(heads: list[Looked], made: Correction) -> list[dict[str, Any]]:
    """By yaw: landmarks off in the picture [pixels], shape [cm] and yaw [degrees], as found and corrected."""
    lines = []
    for low, high in GROUPS:
        here = [one for one in heads if low <= abs(one.yaw) < high]
        line: dict[str, Any] = {"yaw": f"{low}-{high}", "heads": len(here)}
        known = [one for one in here if one.found is not None]
        line["found"] = len(known)
        for name in ("as found", "corrected"):
            errors = []
            for one in known:
                assert one.found is not None
                vertices = one.found if name == "as found" else moved(one.found, (SIZE, SIZE), made)
                errors.append(_errors(vertices, one.truth))
            if errors:
                off, shape, yaw = np.array(errors).T
                line[name] = {
                    "landmarks": float(np.median(off)),
                    "landmarks, 90 % of heads": float(np.quantile(off, 0.9)),
                    "shape": float(np.median(shape)),
                    "yaw, mean": float(yaw.mean()),
                    "yaw, median of size": float(np.median(np.abs(yaw))),
                }
        lines.append(line)
    return lines


def _off(vertices: np.ndarray, truth: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(vertices[:, :2] - truth[:, :2], axis=1)))


def _errors(vertices: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    (own, camera), (true, true_camera) = (without_pose(one, (SIZE, SIZE)) for one in (vertices, truth))
    facing = np.einsum("nc,nc->n", vertex_normals(true, canonical_face().faces), true_camera.view(true)) > 0
    yaw, true_yaw = angles(camera.rotation).yaw, angles(true_camera.rotation).yaw
    return (
        _off(vertices[facing], truth[facing]),
        float(np.sqrt(np.square(own - true).sum(axis=1).mean())),
        (yaw - true_yaw) * float(np.sign(true_yaw)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=1200, help="of the training split")
    parser.add_argument("--test", type=int, default=200, help="heads of the validation split")
    parser.add_argument("--work", type=Path, help="folder where what was rendered and seen is kept")
    parser.add_argument("--write", action="store_true", help="write msfit/face/data/landmark_correction.npz")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/landmarks.json")
    arguments = parser.parse_args()
    made, notes = learn(list(looks("train", arguments.heads, arguments.work)))
    lines = measure(list(looks("validation", arguments.test, arguments.work)), made)
    print(notes)
    for line in lines:
        print(f"{line['yaw']:>6} degrees, {line['found']} of {line['heads']} heads found")
        for name in ("as found", "corrected"):
            print(f"  {name:10}", {key: round(value, 3) for key, value in line.get(name, {}).items()})
    if arguments.write:
        path = Path(str(correction.__file__)).parent / "data" / "landmark_correction.npz"
        with written_whole(path) as part:
            part.write_bytes(packed(made))
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    if arguments.record:
        print("written:", write("landmarks", {"correction": notes, "validation": lines}))


if __name__ == "__main__":
    main()
