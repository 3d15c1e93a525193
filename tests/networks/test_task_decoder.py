"""A task's decoder stays alive under a loss that pushes as hard from far as from near."""

import torch

from depth.networks.dense_net import TaskDecoder

WIDTHS = (8, 12, 16, 24, 32)


def trained(norm, steps=25, rate=1e-2):
    """What a decoder of an L1 towards far targets says of two images' maps."""
    torch.manual_seed(0)
    decoder = TaskDecoder(WIDTHS, {"offsets": 2}, norm)
    optimiser = torch.optim.Adam(decoder.parameters(), rate)
    maps = [torch.randn(2, c, 32 // 2**i, 48 // 2**i).relu() for i, c in enumerate(WIDTHS)]
    target = 40 * torch.randn(2, 2, 64, 96)
    for _ in range(steps):
        loss = (decoder(maps)["offsets"] - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return decoder(maps)["offsets"]


def test_norms_keep_it_from_saturating():
    with_norms, without = (trained(norm).std((2, 3)) for norm in (True, False))
    assert (with_norms > 1).all()
    assert (with_norms > 3 * without).all(), "as good as one constant over the image"
