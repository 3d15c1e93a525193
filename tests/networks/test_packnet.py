"""PackNet: the published size, and what packing does."""

import torch
from torch import nn

from depth.networks import build_depth_net
from depth.networks.packnet import PACKNET_SLIM, PackNet

WIDTHS = (64, 64, 128, 256, 512)


def _conv(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + outputs


def _parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_depth_net(name).parameters())


def test_packnet01_has_the_published_128_million_parameters():
    def normed(inputs: int, outputs: int, kernel: int) -> int:
        return _conv(inputs, outputs, kernel) + 2 * outputs

    def residual(inputs: int, outputs: int) -> int:
        return normed(inputs, outputs, 3) + normed(outputs, outputs, 3) + _conv(inputs, outputs, 1) + 2 * outputs

    conv3d = 8 * 27 + 8
    encoder = normed(3, 64, 5) + normed(64, 64, 7)
    encoder += sum(normed(4 * 8 * width, width, k) for width, k in zip(WIDTHS, (5, 3, 3, 3, 3), strict=True))
    encoder += 2 * residual(64, 64) + residual(64, 128) + residual(128, 128)
    encoder += residual(128, 256) + 2 * residual(256, 256) + residual(256, 512) + 2 * residual(512, 512)
    unpacking = ((512, 512), (512, 256), (256, 128), (128, 64), (64, 64))
    decoder = sum(normed(inputs, outputs * 4 // 8, 3) for inputs, outputs in unpacking)
    merging = ((512 + 256, 512), (256 + 128, 256), (128 + 64 + 1, 128), (64 + 64 + 1, 64), (64 + 64 + 1, 64))
    decoder += sum(normed(inputs, outputs, 3) for inputs, outputs in merging)
    decoder += sum(_conv(width, 1, 3) for width in (256, 128, 64, 64))
    count = _parameters("packnet")
    assert count == encoder + decoder + 10 * conv3d
    assert round(count / 1e6) == 128
    assert _parameters("packnet_slim") < 6e6


def test_packing_keeps_every_pixel_and_unpacking_returns_them():
    """With an identity in its 3D filter each value of a 2x2 cell arrives in its own channel, filter after filter."""
    net = PackNet(PACKNET_SLIM)
    packing, unpacking = net.packings[0], net.unpackings[0]
    for module in (packing, unpacking):
        with torch.no_grad():
            module.fold.weight.zero_()
            module.fold.weight[0, 1, 1, 1] = 1.0
        module.conv = nn.Identity()
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    packed = packing(image)
    assert packed.shape == (1, 4 * PACKNET_SLIM.filters, 2, 2)
    assert packed[0, :4, 0, 0].tolist() == [0, 1, 4, 5]
    assert not packed[0, 4:].any()
    torch.testing.assert_close(unpacking(packed[:, :4])[:, :1], image)


def test_packing_convolves_over_neighbouring_channels():
    """One filter that takes the next channel, the next row and the column before."""
    fold = PackNet(PACKNET_SLIM).packings[0].fold
    with torch.no_grad():
        fold.weight.zero_()
        fold.weight[1, 2, 2, 0] = 1.0
        features = torch.rand(1, 3, 4, 4)
        folded = fold(features)
    torch.testing.assert_close(folded[:, 3:5, :-1, 1:], features[:, 1:, 1:, :-1])
    assert not folded[:, 5].any()


def test_packnets_finer_disparities_see_the_coarser_ones_and_every_layer_takes_part():
    torch.manual_seed(0)
    net = build_depth_net("packnet_slim")
    net(torch.rand(2, 3, 64, 96)).disparities[0].sum().backward()
    unused = [name for name, p in net.named_parameters() if name.endswith("weight") and not p.grad.abs().sum() > 0]
    assert not unused
