"""Build biofacenet/restoration/weights/prior.safetensors: the linear prior of faces that fills holes.

    python scripts/build_face_prior.py

400 faces of the training split, as `biofacenet train --config restore` keeps them, under daylight through the mean
camera; the mesh is found in each picture, as it will be in photographs.
"""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from biofacenet.photo.located import locate
from biofacenet.photo.reading import Photo
from biofacenet.restoration import prior
from biofacenet.restoration.faces import Faces, FaceSource, kept_whole
from msfit.colour.transforms import encode_srgb
from msfit.errors import InputError
from msfit.io.output import written_whole

TARGET = Path(prior.__file__).parent / "weights" / "prior.safetensors"


def main() -> None:
    """Fit the prior and write it."""
    faces = Faces(FaceSource(), 1, 96)
    textures = []
    for index in range(FaceSource().count):
        linear = kept_whole(faces, index)[0].permute(1, 2, 0).numpy()
        rgb = np.rint(255 * encode_srgb(torch.from_numpy(linear)).numpy()).astype(np.uint8)
        try:
            mesh = locate(Photo(rgb)).mesh
        except InputError:  # no face is found in a few
            continue
        if mesh is not None:
            textures.append(prior.texture_of(linear, mesh.vertices[:, :2]))
    made = prior.fitted(np.array(textures))
    with written_whole(TARGET) as part:
        part.write_bytes(safetensors.torch.save(prior.tensors_of(made)))
    print(f"{TARGET.name}: {len(textures)} faces, {made.texel.size} texels, {len(made.components)} components")


if __name__ == "__main__":
    main()
