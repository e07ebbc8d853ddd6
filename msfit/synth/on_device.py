"""Training samples rendered on a device, in torch: what `msfit.synth.samples` makes on a processor.

Chance decides on the processor, texture included (`sampling.draw_sample`); surfaces, light and shadow, skin, pictures
and the fit that is their truth follow here for many samples at once. All numbers are those of `samples` up to rounding
in single precision (`tests/synth/test_on_device.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msfit.errors import InputError
from msfit.skin.models import DEFAULT_MODEL, get_model
from msfit.solve.solver import solver_for
from msfit.synth.appearance import EYEBALL_CM, IRIS_CM, PUPIL_CM, eye_centres
from msfit.synth.atlas import SHEET_CM, atlas
from msfit.synth.bank import Bank
from msfit.synth.buffers import CAMERA_DISTANCE, CLOTH, EYE, FACE, HAIR, HEAD, directions, solid_angle
from msfit.synth.light import GRAZING, NORMAL_REFLECTION
from msfit.synth.sampling import Drawn, albedo_weights
from msfit.synth.scene import SCATTER_CM
from msfit.synth.spectra import WAVELENGTHS, absorbers, sclera

# Pairs of a point and a direction of light that are worked on together.
_PAIRS = 2**24


class Renderer:
    """Renders draws of one bank on one device, mode "measured".

    Parameters
    ----------
    bank : Bank
        Its heads are sent to the device when they are first needed, and stay there.
    device : str
    model : str
        Skin model whose fit to the reflectance is the truth, in its `wide` bounds.
    """

    def __init__(self, bank: Bank, device: str, model: str = DEFAULT_MODEL) -> None:
        self.bank, self.device = bank, torch.device(device)
        parameters = get_model(model).parameters[:2]
        box = {one.name: one.wide for one in parameters}
        self._solver = solver_for(get_model(model), box, WAVELENGTHS, "float32", device)
        self._heads: dict[int, dict[str, Tensor]] = {}
        self._ways = self._sent(directions(8 * bank[0].visible.shape[1]))
        melanin, blood = absorbers()
        self._absorbers = self._sent(np.stack((melanin, blood)))
        self._albedo, self._sclera = self._sent(albedo_weights()), self._sent(sclera())

    def __call__(self, drawn: Sequence[Drawn]) -> dict[str, Tensor]:
        """Samples as of `msfit.synth.samples`, on the device.

        Raises
        ------
        InputError
            There are none.
        """
        if not drawn:
            raise InputError("drawn: found none; expected one sample or more")
        heads = [self._head(one.head) for one in drawn]
        points = {name: torch.cat([head[name] for head in heads]) for name in heads[0]}
        counts = torch.tensor([len(head["pixel"]) for head in heads])
        own = torch.repeat_interleave(torch.arange(len(drawn)), counts).to(self.device)
        pixel_cm = self._sent([self.bank[one.head].pixel_cm for one in drawn])
        made = self._surface(drawn, points, own)
        i_d, i_s = self._shade(drawn, points, own, made)
        skin = points["region"] <= HEAD
        i_d = self._softened(i_d, points["pixel"], own, skin, SCATTER_CM / pixel_cm)
        i_d, i_s = i_d * made["openness"], i_s * made["openness"]
        spectra = self._coated(drawn, own, skin, made)
        weights = self._sent(np.stack([one.weights for one in drawn]))
        colour = torch.einsum("nb,nbc->nc", spectra, weights[own])
        picture = i_d[:, None] * colour + i_s[:, None] * weights.sum(1)[own]

        def sheet(values: Tensor, background: Tensor | None = None) -> Tensor:
            return self._sheet(values, points["pixel"], own, len(drawn), background)

        face = points["region"] == FACE
        image = self._noisy(drawn, sheet(picture, self._sent(np.stack([one.background for one in drawn]))))
        maps = {"image": image, "mask": sheet(face.float()), "i_d": sheet(i_d), "i_s": sheet(i_s)}
        maps |= {"normals": sheet(made["normal"]), "albedo": sheet(spectra @ self._albedo)}
        maps |= {name: sheet(values) for name, values in self._truth(spectra, face).items()}
        mirrored = torch.tensor([one.mirrored for one in drawn], device=self.device)[:, None, None, None]
        maps = {name: torch.where(mirrored, values.flip(-1), values) for name, values in maps.items()}
        turned = maps["normals"] * self._sent([-1.0, 1.0, 1.0])[:, None, None]
        maps["normals"] = torch.where(mirrored, turned, maps["normals"])
        others = {"light": [one.lamp for one in drawn], "camera": [one.camera for one in drawn]}
        return maps | {name: self._sent(np.stack(values)) for name, values in others.items()}

    def _sent(self, values: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.device)

    def _head(self, index: int) -> dict[str, Tensor]:
        """What is seen of a head, its visible directions as they are packed."""
        if index not in self._heads:
            buffers = self.bank[index]
            names = ("pixel", "region", "normal", "position", "uv", "gradient", "visible")
            self._heads[index] = {name: torch.from_numpy(getattr(buffers, name)).to(self.device) for name in names}
        return self._heads[index]

    def _surface(self, drawn: Sequence[Drawn], points: dict[str, Tensor], own: Tensor) -> dict[str, Tensor]:
        """As `appearance.surface`, of all points; pigments and sites are 0 off the skin."""
        region, uv = points["region"], points["uv"]
        sheets = self._sent(np.stack([one.sheets for one in drawn]))
        sites = self._sent(atlas(sheets.shape[-1]).sites)
        read, places = _sampled(sheets, uv, own), _sampled(sites[None], uv, torch.zeros_like(own))
        face, skin = region == FACE, region <= HEAD
        read = torch.where(face[:, None], read, 0)
        openness = torch.where(skin, torch.where(face, read[:, 3], 1.0), 0.9)
        roughness = torch.where(face, read[:, 4], 0.45)
        gloss = torch.where(skin, torch.where(face, read[:, 5], 0.6), torch.where(region == CLOTH, 0.15, 0.5))
        slope = read[:, 6:8]
        other = torch.zeros(len(own), WAVELENGTHS.size, device=self.device)
        cloth, iris, hair = (
            self._sent(np.stack([getattr(one.palette, name) for one in drawn])) for name in ("cloth", "iris", "hair")
        )
        other = torch.where((region == CLOTH)[:, None], cloth[own], other)

        rows = (region == EYE).nonzero().squeeze(1)
        gaze = self._sent(np.stack([one.surface.gaze for one in drawn]))[own[rows]]
        centres = self._sent(eye_centres())[(uv[rows, 0] > 0.5).long()]
        offset = (uv[rows] - centres) * SHEET_CM - gaze
        radius = offset.norm(dim=1, keepdim=True)
        in_iris, in_pupil = _disc(radius, IRIS_CM), _disc(radius, PUPIL_CM)
        ring = 1 - 0.5 * torch.exp(-(((radius - IRIS_CM) / 0.07) ** 2))
        white = self._sclera * (1 - in_iris) + iris[own[rows]] * ring * in_iris
        other[rows] = white * (1 - in_pupil) + 0.01 * in_pupil
        slope[rows] = -offset / EYEBALL_CM * SHEET_CM
        aside, above = (offset[:, 0] + gaze[:, 0]).abs() / 1.2, (-offset[:, 1] - 0.18).clamp(0, 0.4)
        openness[rows] = (1 - 0.25 * aside**2 - 0.9 * above).clamp(0.3, 1)
        roughness[rows], gloss[rows] = 0.16, 1.4

        rows = (region == HAIR).nonzero().squeeze(1)
        # cosines of angles up to 1,600 need double precision to agree
        waves = torch.from_numpy(np.stack([one.surface.strands for one in drawn])).to(self.device)[own[rows]]
        around, along = uv[rows].double().unsqueeze(2).unbind(1)
        strands = torch.cos(waves[..., 0] * around * 2 * np.pi + waves[..., 1] * along * 30 + waves[..., 2]).sum(1)
        other[rows] = hair[own[rows]] * (1 + 0.07 * strands).clamp(0.4, 1.7)[:, None].float()
        gloss[rows] = (0.35 + 0.09 * strands).clamp(0.05, 1.2).float()

        normal = points["normal"] - torch.einsum("nk,nkc->nc", slope, points["gradient"])
        normal = normal / normal.norm(dim=1, keepdim=True)
        return {
            "sites": places,
            "pigments": read[:, :2],
            "covered": read[:, 2],
            "other": other,
            "normal": normal,
            "openness": openness,
            "roughness": roughness,
            "gloss": gloss,
        }

    def _shade(
        self, drawn: Sequence[Drawn], points: dict[str, Tensor], own: Tensor, made: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """As `light.shade`, (n,) each."""
        ways, shifts = self._ways, torch.arange(7, -1, -1, device=self.device)
        power = self._sent(np.stack([one.light.radiance for one in drawn])) * solid_angle(len(ways))
        view = self._sent([0.0, 0.0, CAMERA_DISTANCE]) - points["position"]
        view = view / view.norm(dim=1, keepdim=True)
        parts, step = [], max(1, _PAIRS // len(ways))
        for first in range(0, len(own), step):
            part = slice(first, first + step)
            n, v, square = made["normal"][part], view[part], made["roughness"][part, None] ** 2
            seen = (points["visible"][part, :, None] >> shifts) & 1
            slope = (n @ ways.T).clamp_min(0) * seen.flatten(1)
            towards = (n * v).sum(1, keepdim=True).clamp_min(GRAZING)
            length = (2 + 2 * (v @ ways.T)).clamp_min(GRAZING**2).sqrt()
            top = ((slope + towards) / length).clamp_max(1)
            width = top * top * (square - 1) + 1
            light_side = slope * (towards * towards * (1 - square) + square).sqrt()
            view_side = towards * (slope * slope * (1 - square) + square).sqrt()
            graze = 1 - (length / 2).clamp_max(1)
            fresnel = NORMAL_REFLECTION + (1 - NORMAL_REFLECTION) * graze**5
            reach = power[own[part]] * slope
            specular = reach * square / (width * width) * fresnel / (light_side + view_side)
            parts.append((reach.sum(1) / math.pi, specular.sum(1) / (2 * math.pi)))
        i_d, i_s = (torch.cat(values) for values in zip(*parts, strict=True))
        return i_d, i_s * made["gloss"]

    def _softened(self, values: Tensor, pixel: Tensor, own: Tensor, skin: Tensor, sigma: Tensor) -> Tensor:
        """As `light.soften`: a Gaussian of `sigma` (sample,) pixels over the skin, by its own weight."""
        count = len(sigma)
        on_skin = torch.where(skin, values, 0)
        sheets = torch.stack([self._sheet(part, pixel, own, count)[:, 0] for part in (on_skin, skin.float())], 1)
        blurred = _blurred(sheets, sigma)
        value, share = blurred.flatten(2)[own, :, pixel.long()].T
        return torch.where(skin, value / share.clamp_min(1e-6), values)

    def _coated(self, drawn: Sequence[Drawn], own: Tensor, skin: Tensor, made: dict[str, Tensor]) -> Tensor:
        """Reflectance (n, band) of measured skin, as `spectra.measured_skin`, and of the rest."""
        known = np.stack([one.subject.log_reflectance for one in drawn])
        measured = self._sent(np.isfinite(known[..., 0]))[own]
        sites = (made["sites"] + 1e-6) * measured
        sites = sites / sites.sum(1, keepdim=True)
        logs = torch.einsum("ns,nsb->nb", sites, self._sent(np.nan_to_num(known))[own])
        bare = torch.exp(logs - made["pigments"] @ self._absorbers)
        brow = self._sent(np.stack([one.palette.brow for one in drawn]))[own]
        return torch.where(skin[:, None], bare + made["covered"][:, None] * (brow - bare), made["other"])

    def _noisy(self, drawn: Sequence[Drawn], image: Tensor) -> Tensor:
        """With the noise that was drawn, if it was."""
        if any(one.noise is None for one in drawn):
            return image
        grains = [one.noise for one in drawn if one.noise is not None]
        shot, floor = (self._sent([grain[k] for grain in grains])[:, None, None, None] for k in (0, 1))
        sigma = (shot * image.clamp_min(0) + floor * floor).sqrt()
        return image + sigma * self._sent(np.stack([grain[2] for grain in grains]))

    def _truth(self, spectra: Tensor, face: Tensor) -> dict[str, Tensor]:
        """What the skin model's fit makes of the face: pigments, scale and offset (n,), 0 elsewhere."""
        rows = face.nonzero().squeeze(1)
        solution = self._solver(spectra[rows].contiguous())
        found = (*solution.x.unbind(1), solution.i_d, solution.i_s)
        zero = torch.zeros(len(face), device=self.device)
        names = ("f_mel", "f_blood", "scale", "offset")
        return {name: zero.index_put((rows,), values) for name, values in zip(names, found, strict=True)}

    def _sheet(
        self, values: Tensor, pixel: Tensor, own: Tensor, count: int, background: Tensor | None = None
    ) -> Tensor:
        """Values (n,) or (n, channel) of the points as pictures (sample, channel, y, x)."""
        values, size = values.reshape(len(values), -1), self.bank.size
        sheet = torch.zeros(count, size * size, values.shape[1], device=self.device)
        if background is not None:
            sheet += background[:, None]
        sheet[own, pixel.long()] = values
        return sheet.transpose(1, 2).reshape(count, -1, size, size)


def _sampled(sheets: Tensor, uv: Tensor, own: Tensor) -> Tensor:
    """Bilinear values of sheets (sample, channel, size, size) at texture coordinates (n, 2): as `atlas.sample`."""
    size = sheets.shape[-1]
    place = (uv * size - 0.5).clamp(0, size - 1.001)
    corner = place.int()
    right, down = (place - corner)[:, :1], (place - corner)[:, 1:]
    flat = sheets.flatten(2).transpose(1, 2).reshape(-1, sheets.shape[1])
    at = own * size * size + corner[:, 1] * size + corner[:, 0]
    upper = flat[at] * (1 - right) + flat[at + 1] * right
    lower = flat[at + size] * (1 - right) + flat[at + size + 1] * right
    return upper * (1 - down) + lower * down


def _blurred(sheets: Tensor, sigma: Tensor) -> Tensor:
    """Sheets (sample, channel, y, x) blurred as `scipy.ndimage.gaussian_filter` does, by `sigma` (sample,) pixels."""
    reaches = (4 * sigma.double() + 0.5).floor()
    reach = int(reaches.max())
    away = torch.arange(-reach, reach + 1, device=sheets.device)
    kernel = torch.exp(-0.5 * (away / sigma.double()[:, None]) ** 2) * (away.abs() <= reaches[:, None])
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(sheets.dtype)
    for axis in (2, 3):
        size = sheets.shape[axis]
        blurred = torch.zeros_like(sheets)
        for k, step in enumerate(away.tolist()):
            index = torch.arange(size, device=sheets.device) + step
            index = torch.where(index < 0, -1 - index, torch.where(index >= size, 2 * size - 1 - index, index))
            blurred += kernel[:, k, None, None, None] * sheets.index_select(axis, index)
        sheets = blurred
    return sheets


def _disc(radius: Tensor, edge: float) -> Tensor:
    return 1 / (1 + torch.exp(((radius - edge) / 0.035).clamp(-40, 40)))
