"""Photographs as cameras and phones make them from the light of a scene: metered, balanced, curved, sharpened, packed.

A camera meters a scene and not a face, so that how bright a face comes out says something of its skin. Everything that
a camera does is drawn for each picture, kept as numbers, and returned with the picture: `random_cameras` draws,
`develop` makes. Linear RGB (n, 3, y, x), white = 1, in torch and in batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from msfit.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

#: How a camera meters: with a meter held at the face (incident light), the mean of the frame, a mean weighted towards
#: its middle, or the face that it has found.
METERING = ("incident", "frame", "centre", "face")
_METERING_SHARES = (0.25, 0.25, 0.2, 0.3)
# Reflected-light meters bring their reading to about 18 % of white; how far, differs between makers by a third of a
# stop (ISO 2720:1974 leaves its calibration constant K a range of 10.6 to 13.4).
_MIDDLE_GREY = 0.18
# Spread of a centre-weighted meter, as a share of the picture's side.
_CENTRE = 0.22
# Shares of red, green and blue in luminance (ITU-R BT.709).
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# Mean chromaticity of preferred skin, r/g and b/g of linear sRGB: about L* 67, a* 17, b* 19 (Zeng & Luo 2011, Preferred
# skin colours, CIC 19).
_PREFERRED_SKIN = (1.87, 0.70)
_DARK = 1e-4


class Cameras(NamedTuple):
    """What each of n cameras does with its scene: tensors (n,) unless said otherwise."""

    metering: Tensor
    """int64: index into `METERING`."""
    adaptation: Tensor
    """Share, on a logarithmic scale, of the difference from middle grey that the meter takes away, 0 to 1."""
    compensation: Tensor
    """Exposure compensation and the meter's own calibration [stops]."""
    balance: Tensor
    """(n, 2): natural logarithm of the gains of red and blue that automatic white balance is wrong by."""
    towards_skin: Tensor
    """Share of the way by which white balance moves the face towards preferred skin, 0 to 1."""
    drift: Tensor
    """(n, 2): a second light of another colour: logarithm of the gain of red (blue: the reverse) across and down."""
    contrast: Tensor
    """Slope of the tone curve on logarithmic axes at middle grey [1]; 1: none."""
    lift: Tensor
    """What the tone curve makes of middle grey, over middle grey [1]."""
    on_channels: Tensor
    """1: the curve acts on each channel, which saturates colours; 0: on luminance."""
    saturation: Tensor
    """Factor on the distance from grey [1]."""
    local: Tensor
    """Share of the large-scale contrast that local tone mapping takes away, 0 to 1."""
    shot: Tensor
    """Variance of the noise over the signal, at white [1]."""
    floor: Tensor
    """Standard deviation of the noise in the dark [1]."""
    blur: Tensor
    """Standard deviation of the lens's and the demosaicing's blur [pixels]."""
    sharpening: Tensor
    """Strength of the unsharp mask on display values [1]."""
    quality: Tensor
    """int64: JPEG quality, 1 to 95 with halved chroma; 0: no JPEG."""


class Developed(NamedTuple):
    """Photographs, and what of their making changes the truth of their maps."""

    picture: Tensor
    """(n, 3, y, x): what a reader of the file sees, linearised, 0 to 1 in steps of 8-bit sRGB."""
    exposure: Tensor
    """(n, 1, 1, 1): from the scene's light to the picture's over the face: shadings are multiplied by it."""
    cast: Tensor
    """(n, 2): natural logarithm of the gains of red and blue over green that the face was left with."""


def random_cameras(count: int, generator: Generator) -> Cameras:
    """Draw `count` cameras.

    About a quarter of them are calibrated: white balance within 2 %, no tone curve.

    Parameters
    ----------
    count : int
        1 or more.
    generator : torch.Generator
        On the CPU.

    Examples
    --------
    >>> import torch
    >>> random_cameras(3, torch.Generator().manual_seed(0)).metering.shape
    torch.Size([3])
    """
    import torch

    if count < 1:
        raise InputError(f"count: found {count}; expected 1 camera or more")

    def uniform(low: float, high: float, size: tuple[int, ...] = ()) -> Tensor:
        return low + (high - low) * torch.rand(count, *size, generator=generator)

    def normal(*size: int) -> Tensor:
        return torch.randn(count, *size, generator=generator)

    def happens(share: float) -> Tensor:
        return (torch.rand(count, generator=generator) < share).float()

    metering = torch.multinomial(torch.tensor(_METERING_SHARES), count, replacement=True, generator=generator)
    faithful = happens(0.25)
    # lamps differ from warm to cool far more than from green to magenta
    warm, green = 0.06 * normal(), 0.02 * normal()
    balance = torch.stack([warm - green, -warm - green], dim=1) * (1 - 0.8 * faithful)[:, None]
    curved = 1 - faithful
    return Cameras(
        metering=metering,
        adaptation=torch.where(metering == 0, torch.zeros(count), uniform(0.55, 1.0)),
        compensation=0.4 * normal(),
        balance=balance,
        towards_skin=curved * happens(0.3) * uniform(0, 0.4),
        drift=0.08 * normal(2) * (happens(0.35) * curved)[:, None],
        contrast=1 + curved * uniform(-0.08, 0.35),
        lift=1 + curved * uniform(-0.1, 0.55),
        on_channels=happens(0.6),
        saturation=1 + curved * uniform(-0.1, 0.25),
        local=curved * happens(0.35) * uniform(0, 0.4),
        shot=torch.exp(uniform(math.log(1e-5), math.log(1.5e-3))),
        floor=torch.exp(uniform(math.log(5e-4), math.log(5e-3))),
        blur=uniform(0.0, 0.8),
        sharpening=happens(0.6) * uniform(0, 1.0),
        quality=(happens(0.75) * uniform(50, 96)).floor().long(),
    )


def develop(scene: Tensor, face: Tensor, cameras: Cameras, generator: Generator) -> Developed:
    """Photographs of scenes: exposed, balanced, with noise, tone curve, sharpening, 8 bits and JPEG, in this order.

    Parameters
    ----------
    scene : tensor (n, 3, y, x)
        Linear RGB of the light that reaches the sensor through perfect white balance, of any level.
    face : tensor (n, 1, y, x)
        1 on the face, else 0: where cameras that look for faces meter, and over which the answer's `exposure` is.
    cameras : Cameras
        Of n pictures.
    generator : torch.Generator
        Of the noise, on the CPU.

    Returns
    -------
    Developed

    Raises
    ------
    InputError
        Shapes that do not belong together; a picture without a pixel of face.
    """
    count = len(scene)
    if scene.ndim != 4 or scene.shape[1] != 3 or face.shape != (count, 1, *scene.shape[2:]):
        raise InputError(
            f"scene, face: found shapes {tuple(scene.shape)} and {tuple(face.shape)}; expected (n, 3, y, x) and"
            " (n, 1, y, x)"
        )
    if len(cameras.metering) != count or not bool((face.sum((1, 2, 3)) > 0).all()):
        raise InputError(f"cameras, face: expected {count} cameras, and a pixel of face or more in every picture")
    import torch

    light = scene.clamp(min=0)
    exposed = light * exposure_gains(light, face, cameras)[:, None, None, None]
    gains = balance_gains(exposed, face, cameras)
    seen = _drifting(exposed * gains[:, :, None, None], cameras.drift)
    seen = _blurred(seen, cameras.blur)
    deviation = (_each(cameras.shot) * seen + _each(cameras.floor) ** 2).sqrt()
    seen = (seen + deviation * torch.randn(seen.shape, generator=generator).to(seen)).clamp(min=0)
    mapped = _locally(seen, cameras.local)
    mapped = tone_curve(mapped, cameras)
    display = _sharpened(mapped, cameras.sharpening)
    picture = _packed(display, cameras.quality)
    weight = face / face.sum((2, 3), keepdim=True)
    before, after = ((weight * values).sum((2, 3)) for values in (light, picture))
    luminance = torch.tensor(_LUMINANCE).to(light)
    exposure = (after @ luminance) / (before @ luminance).clamp(min=_DARK)
    ratio = torch.log(after.clamp(min=_DARK) / before.clamp(min=_DARK))
    cast = ratio[:, [0, 2]] - ratio[:, [1]]
    return Developed(picture, _each(exposure), cast)


def exposure_gains(light: Tensor, face: Tensor, cameras: Cameras) -> Tensor:
    """Gains (n,) of the exposure: ``2^compensation (0.18 / metered luminance)^adaptation``.

    An incident meter (adaptation 0) leaves a white card at white, whatever the scene holds. Clipped light counts as
    twice white at most, as no meter sees more.
    """
    import torch

    weights = torch.tensor(_LUMINANCE).to(light)[:, None, None]
    luminance = (weights * light).sum(1, keepdim=True)
    typical = luminance.mean((1, 2, 3), keepdim=True)
    luminance = torch.minimum(luminance, 8 * typical)
    side = torch.linspace(-0.5, 0.5, light.shape[-1]), torch.linspace(-0.5, 0.5, light.shape[-2])
    across, down = torch.meshgrid(*side, indexing="xy")
    centre = torch.exp(-(across**2 + down**2) / (2 * _CENTRE**2)).to(light)[None, None]
    # a camera that has found a face weighs it most, and the frame a little
    maps = (torch.ones_like(centre).expand_as(face), centre.expand_as(face), face + 0.05)
    readings = torch.stack([(one * luminance).sum((1, 2, 3)) / one.sum((1, 2, 3)) for one in maps], dim=1)
    reading = readings.gather(1, (cameras.metering[:, None] - 1).clamp(min=0))[:, 0].clamp(min=_DARK)
    return 2**cameras.compensation * (_MIDDLE_GREY / reading) ** cameras.adaptation


def balance_gains(light: Tensor, face: Tensor, cameras: Cameras) -> Tensor:
    """Gains (n, 3) by which white balance errs, of luminance 1 on grey: its own error, and a pull towards skin."""
    import torch

    mean = (face * light).sum((2, 3)) / face.sum((2, 3))
    ratio = mean[:, [0, 2]].clamp(min=_DARK) / mean[:, [1]].clamp(min=_DARK)
    pull = torch.log(torch.tensor(_PREFERRED_SKIN).to(light) / ratio).clamp(-0.4, 0.4)
    red, blue = (cameras.balance + cameras.towards_skin[:, None] * pull).exp().T
    gains = torch.stack([red, torch.ones_like(red), blue], dim=1)
    return gains / (gains * torch.tensor(_LUMINANCE).to(gains)).sum(1, keepdim=True)


def tone_curve(light: Tensor, cameras: Cameras) -> Tensor:
    """The camera's tone curve and saturation, linear light in and out, 0 to 1.

    ``f(x) = (1 + s) x^c / (x^c + s)`` with f(1) = 1: a power at the toe and a shoulder towards white (K. I. Naka,
    W. A. H. Rushton, J Physiol 185, 536, 1966; Reinhard et al. 2002, ACM TOG 21(3)); s puts middle grey where `lift`
    says. Where lift and contrast are 1 light is only clipped.
    """
    import torch

    plain = light.clamp(0, 1)
    grey, power = _MIDDLE_GREY, _each(cameras.contrast)
    raised = grey**power
    goal = (grey * _each(cameras.lift)).clamp(max=0.6)
    # from f(grey) = goal; a goal below the power itself has no shoulder
    shoulder = raised * (1 - goal) / (goal - raised).clamp(min=1e-3)

    def curve(values: Tensor) -> Tensor:
        bent = values.clamp(0, 4) ** power
        return (1 + shoulder) * bent / (bent + shoulder)

    weights = torch.tensor(_LUMINANCE).to(light)[:, None, None]
    luminance = (weights * light).sum(1, keepdim=True).clamp(min=_DARK)
    whole = light * curve(luminance) / luminance
    curved = torch.where(_each(cameras.on_channels) > 0, curve(light), whole)
    grey_of = (weights * curved).sum(1, keepdim=True)
    curved = grey_of + _each(cameras.saturation) * (curved - grey_of)
    unbent = (cameras.contrast == 1) & (cameras.lift == 1)
    return torch.where(_each(unbent.float()) > 0, plain, curved.clamp(0, 1))


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _drifting(light: Tensor, drift: Tensor) -> Tensor:
    """Colours that change over the picture, where two lamps of different colour light it."""
    import torch

    across, down = torch.meshgrid(
        torch.linspace(-1, 1, light.shape[-1]), torch.linspace(-1, 1, light.shape[-2]), indexing="xy"
    )
    field = drift[:, 0, None, None] * across + drift[:, 1, None, None] * down
    return light * torch.stack([field, torch.zeros_like(field), -field], dim=1).exp().to(light)


def _blurred(light: Tensor, sigma: Tensor) -> Tensor:
    """A Gaussian of its own width [pixels, up to 1] for each picture, in a window of five."""
    import torch
    import torch.nn.functional as F

    offsets = torch.arange(-2.0, 3.0)
    kernels = torch.exp(-0.5 * (offsets / sigma.clamp(min=0.05)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(light).repeat_interleave(3, 0)
    flat = light.reshape(1, -1, *light.shape[2:])
    for shape in ((-1, 1, 1, 5), (-1, 1, 5, 1)):
        kernel = kernels.reshape(shape)
        high, wide = kernel.shape[2] // 2, kernel.shape[3] // 2
        flat = F.conv2d(F.pad(flat, (wide, wide, high, high), mode="replicate"), kernel, groups=flat.shape[1])
    return flat.reshape(light.shape)


def _locally(light: Tensor, share: Tensor) -> Tensor:
    """Local tone mapping: luminance smoothed over an eighth of the picture drawn towards its mean (Durand 2002)."""
    import torch
    import torch.nn.functional as F

    if not bool((share > 0).any()):
        return light
    weights = torch.tensor(_LUMINANCE).to(light)[:, None, None]
    log = torch.log((weights * light).sum(1, keepdim=True) + 0.01)
    cells = 8
    base = F.interpolate(F.adaptive_avg_pool2d(log, cells), log.shape[-2:], mode="bicubic", align_corners=False)
    return light * torch.exp(-_each(share).to(light) * (base - log.mean((2, 3), keepdim=True)))


def _sharpened(light: Tensor, amount: Tensor) -> Tensor:
    """Unsharp mask of one pixel on display values, which are returned."""
    from msfit.colour.transforms import encode_srgb

    display = encode_srgb(light.clamp(0, 1))
    soft = _blurred(display, amount.new_full(amount.shape, 1.0))
    return (display + _each(amount).to(display) * (display - soft)).clamp(0, 1)


def _packed(display: Tensor, quality: Tensor) -> Tensor:
    """8 bits and, where there is a quality, JPEG with halved chroma; linear light."""
    import io

    import numpy as np
    import torch

    from msfit.colour.transforms import decode_srgb
    from msfit.io.extras import need

    whole = display.mul(255).round().to("cpu", torch.uint8)
    if bool((quality > 0).any()):
        image = need("PIL.Image", "photo")
        pictures = whole.permute(0, 2, 3, 1).numpy().copy()
        for picture, grade in zip(pictures, quality.tolist(), strict=True):
            if grade:
                file = io.BytesIO()
                image.fromarray(picture).save(file, "JPEG", quality=grade, subsampling="4:2:0")
                picture[:] = np.asarray(image.open(file))
        whole = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    return decode_srgb(whole.to(display) / 255)
