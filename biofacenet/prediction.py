"""From a picture to maps: weights loaded, the face found, the network run, the maps put into a result."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biofacenet.networks.decoder import HIGHEST_FRACTIONS, Decoder, fractions
from biofacenet.networks.network import BioFaceNet, Prediction
from biofacenet.networks.scales import predict_at_scales
from biofacenet.networks.weights import Loaded, load_weights, shipped_weights, trained_size
from biofacenet.photo.face import Box
from biofacenet.photo.located import Face, check_opaque, check_skin, doubtful, locate
from biofacenet.photo.reading import SMALLEST_SIDE, Photo, as_photo, linear_light, opaque
from biofacenet.refinement import REFINEMENTS, NetworkErrors, misfit_of
from biofacenet.refinement import refine as refine_maps
from biofacenet.result import FaceResult
from msfit.colour.colorimetry import rgb_weights
from msfit.data.result import MAPS, STATUS_TYPE, Status
from msfit.errors import InputError, names_nearest
from msfit.fitting.devices import torch_device
from msfit.solve.spatial.bands import FLOOR

#: Pixels that are looked at: skin inside the face, or all.
MASKS = ("auto", "none")
# A head nearer to the end of its range than this is at it [m].
_AT_END = 0.005
_LARGEST_SIZE = 8192
# Where detail is looked for, unless said otherwise [pixels].
_FINEST = 256
# Of a face, as a share of the side of pictures that networks are trained on.
_WIDTH = 0.6
# Of the brightest channel: one step of 8 bits below white, and where one step is more than 5 % [linear].
_CLIPPED, _SHADOW = 0.991, 0.007
# Rows: f_mel inside, at the lower, at the upper end of its range; columns: f_blood.
_STATUS = np.array(
    [
        [Status.CONVERGED, Status.F_BLOOD_LOWER, Status.F_BLOOD_UPPER],
        [Status.F_MEL_LOWER, Status.F_MEL_LOWER_F_BLOOD_LOWER, Status.F_MEL_LOWER_F_BLOOD_UPPER],
        [Status.F_MEL_UPPER, Status.F_MEL_UPPER_F_BLOOD_LOWER, Status.F_MEL_UPPER_F_BLOOD_UPPER],
    ],
    STATUS_TYPE,
)


class Model:
    """A network with its weights and its decoder.

    Attributes
    ----------
    name : str
    network : BioFaceNet
    training : mapping
        What was written beside the weights.
    decoder : Decoder
        Of the skin model that the network was trained with.
    size : int
        Side of the pictures that it was trained on [pixels].
    device : torch.device
    """

    def __init__(self, loaded: Loaded, name: str = "network", device: torch.device | str = "cpu") -> None:
        self.name, self.device = name, torch.device(device)
        self.network: BioFaceNet = loaded.network.to(self.device).eval()
        self.training: Mapping[str, Any] = loaded.training
        self.decoder = Decoder(self.training["skin_model"]).to(self.device)
        self.errors = NetworkErrors.of(self.training)
        self.size = trained_size(self.training)

    def predict(
        self,
        rgb: Any,
        *,
        encoding: str | None = None,
        size: int | None = None,
        refine: bool | str | None = None,
        region: np.ndarray | None = None,
        width: float | None = None,
    ) -> FaceResult:
        """Take a picture of a face apart, all of it.

        Parameters
        ----------
        rgb : array (y, x, 3) or (y, x, 4)
            uint8 or uint16: sRGB. Floating point, white = 1: `encoding` has to say which. Pixels that alpha makes less
            than half opaque are masked.
        encoding : {"srgb", "linear"}, optional
        size : int, optional
            Shorter side at which the network looks for detail [pixels]; 0: the picture's own; `Model.size` or less:
            none. If absent, the picture's own up to 256. The maps have the picture's size whatever it is, and their
            level and light come from a look at `Model.size`, see `biofacenet.networks.scales.predict_at_scales`.
        refine : {True, "pixels", False}, optional
            Whether the solver finishes what the network says, with the network's errors in bands of spatial frequency,
            or with every pixel alone, see `biofacenet.refinement`. If absent, True where errors stand beside the
            network's weights.
        region : bool array (y, x), optional
            The face's skin, where the solver finishes; if absent, all of the picture.
        width : float, optional
            Of the face [pixels]; if absent, of one that fills the picture as those in training do.

        Returns
        -------
        FaceResult
            Maps (y, x), float32. Pixels that are not finite are masked. Refined ones have `std`.

        Raises
        ------
        InputError
            See `biofacenet.photo.reading.linear_light`; no pixel that is opaque; a size out of range; another `refine`,
            or one that the weights know no errors for.

        Examples
        --------
        >>> import biofacenet                                            # doctest: +SKIP
        >>> result = biofacenet.load_model().predict(crop_of_a_face)     # doctest: +SKIP
        >>> result.f_mel, result.i_s                                     # doctest: +SKIP
        """
        started = time.perf_counter()
        how = self._refinement(refine)
        linear = linear_light(rgb, encoding)
        is_opaque = np.asarray(opaque(np.asarray(rgb)[..., 3:]).all(axis=2))  # without alpha all of it
        check_opaque(is_opaque)
        photograph = np.isfinite(linear).all(axis=2)
        light = torch.from_numpy(np.where(photograph[..., None], linear, 0)).permute(2, 0, 1)[None].to(self.device)
        found = self.decompose(light, size)
        misfit = misfit_of(found)
        std, gains = None, np.ones(3)
        if how:
            inside = photograph & is_opaque if region is None else region & photograph & is_opaque
            found, std = self._refined(found, misfit, linear, inside, width or _WIDTH * min(linear.shape[:2]), how)
            gains = self._gains(found, light, inside)
        result = self._result(found, misfit, light, linear, gains)
        attrs = {**result.attrs, "refine": str(how).lower(), "seconds": time.perf_counter() - started}
        result = masked(replace(result, attrs=attrs, std=std), photograph, Status.MASKED_NO_SIGNAL)
        return masked(result, is_opaque, Status.MASKED_BY_USER)

    @torch.inference_mode()
    def decompose(self, light: Tensor, size: int | None = None) -> Prediction:
        """What the network says of a picture (1, 3, y, x) in linear RGB, its detail seen at `size`: (1, 1, y, x)."""
        own = min(int(light.shape[-2]), int(light.shape[-1]))
        if size is None:
            size = max(self.size, min(own, _FINEST))
        _check_size(size)
        return predict_at_scales(self.network, light, self.size, size or own)

    def _refinement(self, refine: bool | str | None) -> bool | str:
        if refine is None:
            return self.errors is not None
        if refine not in REFINEMENTS:
            raise InputError(f"refine: found {refine!r}; expected True, 'pixels' or False")
        if refine and self.errors is None:
            raise InputError(
                f"refine: the errors of {self.name} are not known; measure them (python -m benchmarks.network_errors),"
                " or take the network alone (refine False)"
            )
        return refine

    def _refined(
        self,
        found: Prediction,
        misfit: np.ndarray,
        linear: np.ndarray,
        inside: np.ndarray,
        width: float,
        how: bool | str,
    ) -> tuple[Prediction, dict[str, np.ndarray]]:
        """The prediction with the solver's maps inside a region, and their standard deviations."""
        assert self.errors is not None
        brightest = linear.max(axis=2)
        doubted = (brightest >= _CLIPPED) | (brightest < _SHADOW)
        own = refine_maps(self.decoder, found, linear, inside, self.errors, width, doubted, in_bands=how is True)
        maps = {"m_mel": own.m_mel, "m_blood": own.m_blood, "i_d": own.i_d}
        maps["i_s"] = own.gloss + own.i_d * misfit
        within = torch.from_numpy(inside).to(self.device)
        return found._replace(
            **{
                name: torch.where(within, torch.from_numpy(values).to(self.device), getattr(found, name))
                for name, values in maps.items()
            }
        ), own.std

    @torch.inference_mode()
    def _gains(self, found: Prediction, light: Tensor, inside: np.ndarray) -> np.ndarray:
        """By what the channels (3,) differ from the maps' picture, a median over a region: light taken wrongly."""
        if not inside.any():
            return np.ones(3)
        drawn = self.decoder(*found[:6])
        within = torch.from_numpy(inside).to(self.device)
        ratio = ((light + FLOOR) / (drawn + FLOOR).clamp(min=0.1 * FLOOR))[0][:, within]
        return ratio.median(1).values.double().cpu().numpy()

    @torch.inference_mode()
    def _result(
        self, prediction: Prediction, misfit: np.ndarray, light: Tensor, linear: np.ndarray, gains: np.ndarray
    ) -> FaceResult:
        reconstruction = self.decoder(*prediction[:6]) * torch.from_numpy(gains).to(light)[:, None, None]
        albedo = skin_albedo(self.decoder, prediction)
        rmse = (reconstruction - light).square().mean(1, keepdim=True).sqrt()
        (m_mel, m_blood), (highest_mel, highest_blood) = (prediction.m_mel, prediction.m_blood), HIGHEST_FRACTIONS
        lighting, camera = (values[0].double().cpu().numpy() for values in (prediction.lighting, prediction.camera))
        return FaceResult(
            f_mel=_map(fractions(m_mel, highest_mel)),
            f_blood=_map(fractions(m_blood, highest_blood)),
            i_d=_map(prediction.i_d),
            i_s=(_map(prediction.i_s) - _map(prediction.i_d) * misfit).clip(min=0),
            rmse=_map(rmse),
            status=_STATUS[_end(m_mel), _end(m_blood)],
            model=self.decoder.model,
            bounds={"f_mel": (0.0, highest_mel), "f_blood": (0.0, highest_blood)},
            wavelengths=self.decoder.wavelengths,
            attrs={
                "network": self.name,
                "rmse_label": "RMSE of linear RGB [1]",
                "lighting": json.dumps(lighting.round(4).tolist()),
                "camera": json.dumps(camera.round(4).tolist()),
                "gains": json.dumps(gains.round(4).tolist()),
            },
            picture=linear,
            reconstruction=_image(reconstruction),
            albedo=_image(albedo),
            misfit=misfit,
            scale=None if prediction.scale is None else _map(prediction.scale),
            offset=None if prediction.offset is None else _map(prediction.offset),
            lighting=lighting,
            camera=camera,
        )


@names_nearest
def load_model(name_or_path: str | Path = "default", device: str = "auto") -> Model:
    """A network that takes pictures apart.

    Parameters
    ----------
    name_or_path : str or Path
        "default", the name of other shipped weights, or a .safetensors file with its .json beside it.
    device : str
        "auto", "cpu", "cuda", ...

    Returns
    -------
    Model

    Raises
    ------
    InputError
        No such name or file; see `biofacenet.networks.weights.load_weights`.
    """
    path = Path(name_or_path)
    if path.suffix not in (".safetensors", ".json"):
        path = shipped_weights(str(name_or_path))
    chosen = torch_device(device)
    return Model(load_weights(path, chosen), path.stem, chosen)


def as_model(model: Model | str | Path) -> Model:
    """A model, or that of a name or file, as of `load_model`; shipped ones stay in memory for the next photograph."""
    if isinstance(model, Model):
        return model
    return load_model(model) if Path(model).suffix else _shipped(str(model))


@functools.lru_cache(2)
def _shipped(name: str) -> Model:
    return load_model(name)


@names_nearest
def predict(
    photo: str | Path | Photo | np.ndarray,
    model: Model | str | Path = "default",
    *,
    box: Box | str = "auto",
    mask: str = "auto",
    size: int | None = None,
    refine: bool | str | None = None,
) -> FaceResult:
    """Take the face in a photograph apart.

    Parameters
    ----------
    photo : str, Path, Photo or uint8 or uint16 array (y, x, 3)
        A file, or sRGB values.
    model : Model, str or Path
        As of `load_model`.
    box : {"auto", "whole"} or Box
        Where the face is: found, the whole picture, or given.
    mask : {"auto", "none"}
        Maps on the skin of the face alone, or everywhere in the box. Where the extra `face` is installed skin is the
        region of the face's mesh, see `msfit.face.mesh.FaceMesh.skin`, whatever its colours; pixels that are clipped
        or in deep shadow keep their values and are `Status.DOUBTFUL`. Without it, and where the mesh is not sure: the
        colours of skin, inside an ellipse.
    size, refine : optional
        As of `Model.predict`.

    Returns
    -------
    FaceResult
        Of the square around the face; `attrs["box"]` says where in the photograph that is; `yaw`, `pitch`, `roll`
        [degrees] and `confidence` are those of the mesh, where there is one.

    Raises
    ------
    InputError
        No photograph, see `biofacenet.photo.reading.read_photo`; no face; no skin in it; a box outside the picture.
    """
    if mask not in MASKS:
        raise InputError(f"mask: found {mask!r}; expected one of {', '.join(MASKS)}")
    source = str(photo) if isinstance(photo, str | Path) else "array"
    photograph = as_photo(photo)
    model = as_model(model)
    try:
        _check_size(size)
        return predict_located(photograph, locate(photograph, box), model, source, mask=mask, size=size, refine=refine)
    except InputError as error:
        raise InputError(f"{source}: {error}" if source != "array" else str(error)) from None


def predict_located(
    photograph: Photo,
    face: Face,
    model: Model,
    source: str = "array",
    *,
    mask: str = "auto",
    size: int | None = None,
    refine: bool | str | None = None,
) -> FaceResult:
    """`predict`, where the face of a photograph is known."""
    rgb = photograph.rgb[face.crop.slices]
    looked_at = photograph.opaque[face.crop.slices]
    region = None
    if face.mesh is not None:
        region = face.mesh.skin()[face.crop.slices]
    elif mask == "auto":
        region = face.skin(linear_light(rgb))
    if mask == "auto":
        assert region is not None
        looked_at = looked_at & region
        check_skin(looked_at, "take all of it (mask none), or give another place (box: x,y,width,height)")
    result = model.predict(rgb, size=size, refine=refine, region=region, width=face.width)
    result = masked(result, looked_at, Status.MASKED_BY_USER)
    doubted = np.where(doubtful(rgb) & result.fitted, STATUS_TYPE(Status.DOUBTFUL), STATUS_TYPE(0))
    about = {"source": source, "box": str(face.crop), "note": "; ".join(photograph.notes)}
    return replace(result, status=result.status | doubted, attrs={**result.attrs, **about, **face.described()})


def skin_albedo(decoder: Decoder, prediction: Prediction) -> Tensor:
    """Diffuse reflectance under D65 to the standard observer, linear sRGB (n, 3, y, x), not clipped."""
    observer = torch.from_numpy(rgb_weights(decoder.wavelengths))[None].to(prediction.m_mel)
    colour = decoder.colour(prediction.m_mel, prediction.m_blood, observer)
    return (
        colour
        if prediction.scale is None or prediction.offset is None
        else prediction.scale * colour + prediction.offset
    )


def masked(result: FaceResult, kept: np.ndarray, why: Status) -> FaceResult:
    """The result with the maps of pixels that are not `kept` NaN, and their status `why` where they had another."""
    lost = ~kept & result.fitted
    if not lost.any():
        return result
    maps: dict[str, Any] = {name: np.where(lost, np.float32(np.nan), getattr(result, name)) for name in MAPS}
    return replace(result, **maps, status=np.where(lost, STATUS_TYPE(why), result.status))


def _check_size(size: int | None) -> None:
    if size and not SMALLEST_SIDE <= size <= _LARGEST_SIZE:
        raise InputError(
            f"size: found {size}; expected {SMALLEST_SIDE} to {_LARGEST_SIZE} pixels, or 0 for the picture's own"
        )


def _end(m: Tensor) -> np.ndarray:
    """0 inside the range of a head, 1 at its lower end, 2 at its upper."""
    value = m[0, 0].cpu().numpy()
    return np.where(value < _AT_END - 1, 1, np.where(value > 1 - _AT_END, 2, 0))


def _map(values: Tensor) -> np.ndarray:
    return values[0, 0].float().cpu().numpy()


def _image(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values[0].permute(1, 2, 0).float().cpu().numpy())
