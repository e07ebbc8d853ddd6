"""Write the models that ship in msfit/face/data: MediaPipe's face landmarks and short-range face detector.

Usage: npm pack @mediapipe/face_mesh@0.4.1657299874
       python scripts/build_face_models.py mediapipe-face_mesh-0.4.1657299874.tgz

The package (Apache-2.0) holds both in one file, whose loader lists where each begins and ends; the sums below are of
what was cut out when the library was made.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
from pathlib import Path

OUT = Path(__file__).parents[1] / "msfit" / "face" / "data"
ASSETS = "package/face_mesh_solution_packed_assets"
# SHA-256 of each model.
MODELS = {
    "face_landmark": "c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1",
    "face_detection_short_range": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
}


def cut_out(package: Path) -> dict[str, bytes]:
    """The models by name, cut from an npm package where its loader says that they lie."""
    with tarfile.open(package) as archive:
        content, loader = (_read(archive, f"{ASSETS}{ending}") for ending in (".data", "_loader.js"))
    found = {}
    for name in MODELS:
        place = re.search(rf'/{name}\.tflite", "start": (\d+), "end": (\d+)', loader.decode("utf-8"))
        if place is None:
            raise SystemExit(f"{package}: its loader does not list {name}.tflite")
        found[name] = content[int(place[1]) : int(place[2])]
    return found


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None, f"{name} is no file"
    return member.read()


if __name__ == "__main__":
    for name, content in cut_out(Path(sys.argv[1])).items():
        assert hashlib.sha256(content).hexdigest() == MODELS[name], f"{name}: another version"
        (OUT / f"{name}.tflite").write_bytes(content)
        print(f"{name}.tflite: {len(content):,} bytes")
