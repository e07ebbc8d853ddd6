"""Samples with known truth: the same in whichever way they are had, in terms that the decoder agrees with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from biofacenet.data.geometry import move
from biofacenet.data.rendered import RenderedStream
from biofacenet.data.synthetic import Kept, Source, Stream, as_batch, draw
from biofacenet.networks.decoder import Decoder
from biofacenet.training.losses import Batch
from msfit.errors import InputError
from msfit.synth.sampling import subject_of

pytestmark = pytest.mark.usefixtures("small_bank")
SOURCE = Source(heads=2, size=32)


def same(one: Batch, other: Batch, tolerance: float = 0.0) -> None:
    for name, value in vars(one).items():
        torch.testing.assert_close(value, getattr(other, name), rtol=tolerance, atol=tolerance, msg=name)


def test_the_decoder_returns_the_sample_from_its_truth() -> None:
    """Truth, light and camera of a sample mean to the decoder what they meant to the stream."""
    batch = as_batch(draw(SOURCE, range(6)))
    known = (batch.m_mel, batch.m_blood, batch.i_d, batch.i_s, batch.lighting, batch.camera)
    picture = Decoder()(*(value for value in known if value is not None))
    face = batch.mask.expand(-1, 3, -1, -1) > 0
    error = (picture - batch.clean)[face]
    # what is left is noise, the misfit of the skin model, and 31 bands beside 33
    assert error.square().mean().sqrt() < 0.02
    assert batch.clean[face].std() > 0.1


def test_measured_albedo_is_the_models_scaled_and_offset() -> None:
    from msfit.colour.colorimetry import rgb_weights

    batch, decoder = as_batch(draw(SOURCE, range(4))), Decoder().float()
    observer = torch.from_numpy(rgb_weights(decoder.wavelengths))[None].float()
    assert batch.m_mel is not None
    assert batch.m_blood is not None
    assert batch.albedo is not None
    assert batch.scale is not None
    assert batch.offset is not None
    albedo = batch.scale * decoder.colour(batch.m_mel, batch.m_blood, observer) + batch.offset
    face = batch.mask.expand(-1, 3, -1, -1) > 0
    assert (albedo - batch.albedo)[face].square().mean().sqrt() < 0.012


@pytest.mark.parametrize("balance", [0.0, 0.75])
def test_kept_samples_are_the_streams_in_half_precision(balance: float) -> None:
    source = replace(SOURCE, balance=balance)
    kept, stream = Kept(source, 4, 4, workers=0), Stream(source, 4, workers=0)
    assert sorted(kept[0].clean[:, 0, 5, 5].tolist()) == pytest.approx(
        sorted(stream[0].clean[:, 0, 5, 5].tolist()), rel=1e-3, abs=1e-4
    )
    again = Kept(source, 4, 4, workers=0)
    for step in (0, 3, 1):
        same(kept[step], again[step])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_stream_does_not_depend_on_its_workers_or_on_what_was_asked_before(workers: int) -> None:
    alone = Stream(SOURCE, 2, workers=0)
    helped = Stream(SOURCE, 2, workers=workers)
    try:
        same(alone[1], helped[1])
        if workers:
            same(alone[0], helped[0])
    finally:
        alone.close()
        helped.close()


def test_the_stream_rendered_on_a_device_is_the_processors() -> None:
    source = replace(SOURCE, balance=0.75)
    plain, rendered = Stream(source, 6, workers=0), RenderedStream(source, 6, 0, "cpu")
    for step in (1, 0):
        same(rendered[step], plain[step], 1e-3)
    plain.close()
    rendered.close()


def test_balance_brings_classes_to_equal_shares() -> None:
    plain, even = Source(balance=0.0), Source(balance=1.0)
    indices = range(6000)
    assert (plain.chances(indices) == 1).all()
    taken = even.chances(indices)
    shares: Counter[str] = Counter()
    for index, chance in zip(indices, taken, strict=True):
        shares[subject_of(index).ita_class] += chance
    whole = sum(shares.values())
    assert len(shares) == 6
    # of the rarest class, three persons of 1,329, a few samples alone are in the stretch
    common = [shares[tone] / whole for tone in ("light", "intermediate", "tan", "brown", "dark")]
    assert max(common) < 1.3 * min(common)


def test_pictures_and_truth_move_together() -> None:
    batch = as_batch(draw(SOURCE, range(4)))
    marked = batch.each(lambda values: values)
    marked.clean = torch.cat([batch.i_d, batch.i_d, batch.i_d], dim=1)  # type: ignore[list-item]
    moved = move(marked, torch.Generator().manual_seed(1), share=1.0)
    assert moved.i_d is not None
    torch.testing.assert_close(moved.clean[:, :1], moved.i_d)
    assert not torch.equal(moved.picture, batch.picture)
    assert set(moved.mask.unique().tolist()) <= {0.0, 1.0}
    # light and camera stay
    assert moved.lighting is batch.lighting
    same(moved, move(marked, torch.Generator().manual_seed(1), share=1.0))


def test_unmoved_pictures_are_only_mirrored() -> None:
    batch = as_batch(draw(SOURCE, range(4)))
    moved = move(batch, torch.Generator().manual_seed(0), share=0.0)
    mirrored = 0
    for before, after in zip(batch.picture, moved.picture, strict=True):
        flipped = not torch.allclose(before, after, atol=1e-5)
        mirrored += flipped
        torch.testing.assert_close(after, before.flip(-1) if flipped else before, rtol=0, atol=1e-5)
    assert 0 < mirrored < 4


def test_fewer_samples_than_a_batch_are_refused() -> None:
    with pytest.raises(InputError, match="at least one batch"):
        Kept(SOURCE, 8, 4, workers=0)
