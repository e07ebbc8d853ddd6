"""Photographs as cameras make them: what a meter, a white balance and a tone curve must do."""

import pytest
import torch

from msfit.colour.transforms import encode_srgb
from msfit.errors import InputError
from msfit.synth.cameras import METERING, Cameras, develop, exposure_gains, random_cameras, tone_curve


def plain(count: int, **changed: torch.Tensor) -> Cameras:
    """Cameras that do nothing but write 8 bits."""
    zero, one = torch.zeros(count), torch.ones(count)
    camera = Cameras(
        metering=torch.zeros(count, dtype=torch.long),
        adaptation=zero,
        compensation=zero,
        balance=torch.zeros(count, 2),
        towards_skin=zero,
        drift=torch.zeros(count, 2),
        contrast=one,
        lift=one,
        on_channels=one,
        saturation=one,
        local=zero,
        shot=zero,
        floor=zero,
        blur=zero,
        sharpening=zero,
        quality=torch.zeros(count, dtype=torch.long),
    )
    return camera._replace(**changed)


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A face of two tones (0.3, 0.05) before a wall of 0.5."""
    light = torch.full((2, 3, 32, 32), 0.5)
    face = torch.zeros(2, 1, 32, 32)
    face[:, :, 8:24, 8:24] = 1
    for number, tone in enumerate((0.3, 0.05)):
        light[number, :, 8:24, 8:24] = tone
    return light, face


def test_a_camera_that_does_nothing_returns_the_scene_in_eight_bits(scene):
    light, face = scene
    made = develop(light, face, plain(2), torch.Generator().manual_seed(0))
    assert torch.allclose(encode_srgb(made.picture), encode_srgb(light), atol=0.5 / 255 + 1e-6)
    assert torch.allclose(made.exposure.flatten(), torch.ones(2), atol=0.03)
    assert torch.allclose(made.cast, torch.zeros(2, 2), atol=0.02)


def test_meters_see_what_they_are_named_after(scene):
    light, face = scene
    gains = {
        name: exposure_gains(light, face, plain(2, metering=torch.full((2,), number), adaptation=torch.ones(2)))
        for number, name in enumerate(METERING)
        if name != "incident"
    }
    # a meter for the face brings both faces to nearly the same level, one for the frame leaves the dark one darker
    level = {name: gain * torch.tensor([0.3, 0.05]) for name, gain in gains.items()}
    assert level["face"][0] / level["face"][1] < 2 < level["centre"][0] / level["centre"][1]
    assert level["centre"][0] / level["centre"][1] < level["frame"][0] / level["frame"][1] < 6
    assert torch.equal(exposure_gains(light, face, plain(2)), torch.ones(2))
    doubled = plain(2, metering=torch.full((2,), 1), adaptation=torch.ones(2))
    assert torch.allclose(exposure_gains(2 * light, face, doubled), gains["frame"] / 2)


def test_tone_curves_rise_and_put_middle_grey_where_they_say():
    levels = torch.linspace(0, 1, 101).expand(1, 3, 1, 101)
    for contrast, lift in ((1.2, 1.4), (1.0, 1.5), (1.35, 1.0)):
        camera = plain(1, contrast=torch.tensor([contrast]), lift=torch.tensor([lift]))
        curved = tone_curve(levels, camera)[0, 0, 0]
        assert (curved.diff() > 0).all()
        assert curved[0] == pytest.approx(0, abs=1e-6)
        assert curved[-1] == pytest.approx(1, abs=1e-4)
        grey = tone_curve(torch.full((1, 3, 1, 1), 0.18), camera)[0, 0, 0, 0]
        assert grey == pytest.approx(0.18 * lift, rel=1e-3)


def test_the_cast_is_what_white_balance_got_wrong(scene):
    light, face = scene
    wrong = torch.tensor([[0.1, -0.1], [0.0, 0.0]])
    made = develop(light, face, plain(2, balance=wrong), torch.Generator().manual_seed(0))
    assert torch.allclose(made.cast, wrong, atol=0.03)


def test_the_same_generator_gives_the_same_photographs(scene):
    light, face = scene
    pictures = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        pictures.append(develop(light, face, random_cameras(2, generator), generator).picture)
    assert torch.equal(*pictures)
    assert float(pictures[0].min()) >= 0
    assert float(pictures[0].max()) <= 1


def test_local_tone_mapping_lifts_the_dark_side(scene):
    _, face = scene
    light = torch.linspace(0.05, 0.6, 32).expand(2, 3, 32, 32).contiguous()
    mapped = develop(light, face, plain(2, local=torch.tensor([0.4, 0.0])), torch.Generator().manual_seed(0)).picture
    assert mapped[0, 0, :, 2].mean() > 1.2 * mapped[1, 0, :, 2].mean()
    assert mapped[0, 0, :, 29].mean() < mapped[1, 0, :, 29].mean()


def test_bad_input_is_refused(scene):
    light, face = scene
    with pytest.raises(InputError, match="found shapes"):
        develop(light, face[..., :5], plain(2), torch.Generator())
    with pytest.raises(InputError, match="a pixel of face"):
        develop(light, 0 * face, plain(2), torch.Generator())
    with pytest.raises(InputError, match="count"):
        random_cameras(0, torch.Generator())
