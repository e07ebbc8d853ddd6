"""Textures on disk: HDF5, a folder of PNG files, or glTF with the person's surface."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biofacenet.surface.completion import Known
from biofacenet.surface.unwrap import FaceTexture
from msfit.errors import InputError
from msfit.face.subdivision import fine_face
from msfit.io.extras import need
from msfit.io.output import explained, folder_written_whole, written_whole
from msfit.rendering import to_display

#: What a texture can be written as, beside a folder.
TEXTURE_EXTENSIONS = (".glb", ".h5")
# What 0 and the largest number of a picture stand for.
_RANGES = {"f_mel": (0.0, 0.45), "f_blood": (0.0, 0.25), "i_s": (0.0, 1.0), "facing": (-1.0, 1.0)}
_UNITS = {
    "f_mel": "volume fraction of melanosomes in the epidermis [1]",
    "f_blood": "volume fraction of blood in the dermis [1]",
    "albedo": "diffuse reflectance under D65, linear sRGB [1]",
    "i_s": "specular shading [1]",
    "known": "0 outside the face, 1 seen, 2 mirrored, 3 filled",
    "facing": "cosine between normal and view [1]",
    "doubtful": "1 where the texel is not seen well",
}

#: What a folder of a texture holds.
_FILES = frozenset({f"{name}.png" for name in ("albedo", *_RANGES, "known", "doubtful")} | {"texture.json"})


def save(texture: FaceTexture, path: str | Path) -> None:
    """Write a texture; the file or folder appears whole or not at all.

    Parameters
    ----------
    texture : FaceTexture
    path : str or Path
        Ends in .h5: all maps with units, the surface [cm] and its triangles. Ends in .glb: the surface [m] with albedo,
        and the maps as further textures, which viewers that know KHR_materials_variants show by name. No ending: a
        folder with albedo.png (sRGB), the maps as 16 bit PNG and their ranges in texture.json.

    Raises
    ------
    InputError
        Another ending; a folder that is not there, cannot be written to, or holds what is no texture's; trimesh is
        not installed.
    """
    path = Path(path)
    writers: Mapping[str, Callable[[FaceTexture, Path], None]] = {".h5": _hdf5, ".glb": _gltf}
    if path.suffix.lower() in writers:
        with written_whole(path) as part:
            writers[path.suffix.lower()](texture, part)
    elif path.suffix:
        raise InputError(f"{path}: found the extension {path.suffix!r}; expected .h5, .glb, or a folder")
    else:
        check_folder(path)
        with folder_written_whole(path) as part:
            part.mkdir()
            _pictures(texture, part)


def check_folder(path: Path) -> None:
    """Refuse a folder to write a texture to, which is replaced as a whole, where that would lose anything else.

    Raises
    ------
    InputError
        A file; a folder with other files or folders in it.
    """
    with explained(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise InputError(f"{path}: found a file; expected a folder, or the extension .h5 or .glb")
        others = sorted(one.name for one in path.iterdir() if one.is_dir() or one.name not in _FILES)
    if others:
        raise InputError(
            f"{path}: holds {others[0]!r}, which is no part of a texture and would be lost; choose another folder"
        )


def _hdf5(texture: FaceTexture, path: Path) -> None:
    h5py = need("h5py")
    with h5py.File(path, "w") as file:
        for name, unit in _UNITS.items():
            values = np.asarray(getattr(texture, name))
            values = values.astype(np.uint8) if values.dtype == bool else values
            file.create_dataset(name, data=values, compression="gzip", compression_opts=4).attrs["description"] = unit
        face = fine_face()
        for name, values in (
            ("vertices", texture.records[0].surface.vertices),
            ("faces", face.faces),
            ("uv", face.uv),
        ):
            file[f"surface/{name}"] = values
        file["surface/vertices"].attrs["description"] = "x to the person's left, y up, z out of the face [cm]"
        for key, value in texture.attrs.items():
            file.attrs[key] = value
        file.attrs["rows"] = "along v, from forehead to chin; columns along u"


def _pictures(texture: FaceTexture, folder: Path) -> None:
    for name, content in _png_files(texture).items():
        (folder / f"{name}.png").write_bytes(content)
    about = {
        "ranges": {name: {"0": low, "65535": high} for name, (low, high) in _RANGES.items()},
        "descriptions": _UNITS,
        "known": {state.name.lower(): int(state) for state in Known},
        **{key: str(value) for key, value in texture.attrs.items()},
    }
    (folder / "texture.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _png_files(texture: FaceTexture, *, deep: bool = True) -> dict[str, bytes]:
    """Each map as a PNG file; 16 bits, or 8, since glTF's viewers need no more."""
    made = {"albedo": _png(np.rint(255 * to_display(texture.albedo)).astype(np.uint8))}
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    for name, (low, high) in _RANGES.items():
        share = (np.nan_to_num(getattr(texture, name), nan=low) - low) / (high - low)
        made[name] = _png(np.rint(most * share.clip(0, 1)).astype(kind))
    return made | {"known": _png(texture.known), "doubtful": _png(255 * texture.doubtful.astype(np.uint8))}


def _png(values: np.ndarray) -> bytes:
    memory = io.BytesIO()
    need("PIL.Image", "photo").fromarray(values).save(memory, "PNG")
    return memory.getvalue()


def _gltf(texture: FaceTexture, path: Path) -> None:
    trimesh = need("trimesh", "face")
    image = need("PIL.Image", "photo")
    face, surface = fine_face(), texture.records[0].surface
    files = _png_files(texture, deep=False)
    material = trimesh.visual.material.PBRMaterial(
        name="albedo",
        baseColorTexture=image.open(io.BytesIO(files["albedo"])),
        metallicFactor=0.0,
        roughnessFactor=0.5,
        doubleSided=True,
    )
    # trimesh counts v upwards
    visual = trimesh.visual.TextureVisuals(uv=face.uv * [1, -1] + [0, 1], material=material)
    mesh = trimesh.Trimesh(
        surface.vertices / 100, face.faces, vertex_normals=surface.normals, visual=visual, process=False
    )
    extra = {name: files[name] for name in ("f_mel", "f_blood", "i_s", "known")}
    content = trimesh.exchange.gltf.export_glb(
        trimesh.Scene({"face": mesh}),
        include_normals=True,
        buffer_postprocessor=lambda buffers, tree: _variants(buffers, tree, extra),
    )
    path.write_bytes(content)


def _variants(buffers: dict[Any, bytes], tree: dict[str, Any], maps: Mapping[str, bytes]) -> None:
    """Add maps as unlit materials that the surface can wear instead (Khronos KHR_materials_variants)."""
    primitive = tree["meshes"][0]["primitives"][0]
    names = ["albedo", *maps]
    for name, content in maps.items():
        buffers[f"map {name}"] = content + b"\0" * (-len(content) % 4)
        tree["images"].append({"bufferView": len(buffers) - 1, "mimeType": "image/png", "name": name})
        tree["textures"].append({"source": len(tree["images"]) - 1})
        extras = {"description": _UNITS[name]}
        if name in _RANGES:
            extras["black"], extras["white"] = _RANGES[name]  # type: ignore[assignment]
        tree["materials"].append(
            {
                "name": name,
                "doubleSided": True,
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": len(tree["textures"]) - 1},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 1.0,
                },
                "extensions": {"KHR_materials_unlit": {}},
                "extras": extras,
            }
        )
    first = len(tree["materials"]) - len(maps)
    places = [primitive["material"], *range(first, len(tree["materials"]))]
    primitive["extensions"] = {
        "KHR_materials_variants": {
            "mappings": [{"material": place, "variants": [number]} for number, place in enumerate(places)]
        }
    }
    tree["extensions"] = {"KHR_materials_variants": {"variants": [{"name": name} for name in names]}}
    used = {*tree.get("extensionsUsed", ()), "KHR_materials_variants", "KHR_materials_unlit"}
    tree["extensionsUsed"] = sorted(used)
