import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depth.dejavu.attention import SharedAttention, position_encoding
from depth.dejavu.dct import stop_band
from depth.types import DepthOutput


class TinyNet(nn.Module):
    """Stands for a depth network."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, image):
        full = torch.sigmoid(self.conv(image))
        return DepthOutput((full, full[..., ::2, ::2], full[..., ::4, ::4]))


def image(size=(64, 96), batch=2):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def perturbed(network):
    """The decoders start at zero; this stands for a trained state."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def test_position_encoding_by_hand():
    codes = position_encoding(2, 3, 8, torch.device("cpu"))
    assert codes.shape == (6, 8)
    first, last = torch.tensor([1.0, 0.01]), torch.tensor([2.0, 0.02])
    # Row 1, column 2: sines and cosines of the row, then of the column.
    expected = torch.cat((first.sin(), first.cos(), last.sin(), last.cos()))
    torch.testing.assert_close(codes[1 * 3 + 2], expected)
    assert len(torch.unique(codes, dim=0)) == 6
    # Tokens go row by row, as a map that is flattened: 0 and 1 are of one row, 0 and 3 of one column.
    assert torch.equal(codes[0, :4], codes[1, :4]) and torch.equal(codes[0, 4:], codes[3, 4:])


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (192, 640), (96, 320)])
@pytest.mark.parametrize("channels", [1, 5])
def test_shapes_and_range(size, channels):
    network = perturbed(SharedAttention(TinyNet(channels), channels))
    x = image(size)
    out = network(x)
    assert out.disparities[0].shape == (2, channels, *size)
    assert 0 < out.disparities[0].min() and out.disparities[0].max() < 1
    assert out.extras["reconstruction"].shape == out.extras["redacted"].shape == x.shape
    assert torch.equal(out.extras["redacted"], stop_band(x, 0.08, 0.35))


def test_starts_as_the_network_it_wraps():
    base = TinyNet()
    network, x = SharedAttention(base), image()
    out, plain = network(x), base(x)
    torch.testing.assert_close(out.disparities[0], plain.disparities[0])
    torch.testing.assert_close(out.extras["reconstruction"], out.extras["redacted"])


def test_only_the_finest_disparity_changes():
    network, x = perturbed(SharedAttention(TinyNet())), image()
    out, plain = network(x), network.base(x)
    assert not torch.allclose(out.disparities[0], plain.disparities[0], atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(out.disparities[1:], plain.disparities[1:], strict=True))


def test_evaluation_runs_no_reconstruction_and_changes_nothing():
    network, x = perturbed(SharedAttention(TinyNet())), image()
    training = network.train()(x)

    def refuse(*_):
        raise AssertionError("the reconstruction decoder ran")

    network.eval()
    asked = network(x, reconstruct=True)
    network.reconstruct.register_forward_pre_hook(refuse)
    out = network(x)
    assert out.extras is None
    assert torch.equal(out.disparities[0], training.disparities[0])
    assert torch.equal(asked.extras["reconstruction"], training.extras["reconstruction"])


def test_deterministic():
    network, x = perturbed(SharedAttention(TinyNet())), image()
    state = torch.get_rng_state()
    first, second = network(x), network(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.disparities[0], second.disparities[0])
    assert torch.equal(first.extras["reconstruction"], second.extras["reconstruction"])


def test_gradient_map():
    """The reconstruction reaches D_r, the attention and the base, not D_e; the prediction reaches D_e, not D_r."""
    network, x = perturbed(SharedAttention(TinyNet())), image()

    def reached(loss):
        grads = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
        names = [name.split(".")[0] for name, _ in network.named_parameters()]
        touched = {n for n, g in zip(names, grads, strict=True) if g is not None and g.abs().sum() > 0}
        return touched

    shared = {"base", "embed_image", "embed_prediction", "norm", "query_key_value", "merge"}
    out = network(x)
    assert reached((out.extras["reconstruction"] - x).square().mean()) == shared | {"reconstruct"}
    out = network(x)
    weight = torch.linspace(0, 1, x.shape[-1])
    assert reached((out.disparities[0] * weight).mean()) == shared | {"enhance"}


def test_image_tokens_and_prediction_tokens_meet():
    network = perturbed(SharedAttention(TinyNet())).eval()
    redacted, prediction = image(), torch.rand(2, 1, 64, 96) + 0.1
    redacted.requires_grad_()
    prediction.requires_grad_()
    shared = network._attend(redacted, prediction)
    # The far corner of each output depends on the near corner of both inputs.
    for half in (shared[:, :64], shared[:, 64:]):
        grads = torch.autograd.grad(half[0, :, -1, -1].square().sum(), (redacted, prediction), retain_graph=True)
        assert all(g[0, :, :16, :16].abs().sum() > 0 and g[1].abs().sum() == 0 for g in grads)


def test_attention_is_added_to_the_tokens():
    network, redacted = perturbed(SharedAttention(TinyNet())).eval(), image()
    for parameter in network.merge.parameters():
        nn.init.zeros_(parameter)
    relative = torch.ones(2, 1, 64, 96)
    places = position_encoding(4, 6, 64, torch.device("cpu")).T.unflatten(1, (4, 6))
    expected = [network.embed_image(redacted) + places, network.embed_prediction(relative) + places]
    torch.testing.assert_close(network._attend(redacted, 0.3 * relative), torch.cat(expected, 1))


def test_the_reconstruction_cannot_push_the_scale():
    network, redacted = perturbed(SharedAttention(TinyNet())).eval(), image()
    prediction = torch.rand(2, 1, 64, 96) + 0.1
    torch.testing.assert_close(network._attend(redacted, prediction), network._attend(redacted, 7 * prediction))


def test_extras_of_the_base_are_kept():
    class WithExtras(TinyNet):
        def forward(self, image):
            return DepthOutput(super().forward(image).disparities, {"mark": image.mean()})

    network = SharedAttention(WithExtras())
    assert set(network(image()).extras) == {"mark", "reconstruction", "redacted"}
    assert set(network.eval()(image()).extras) == {"mark"}


def test_under_autocast():
    network, x = perturbed(SharedAttention(TinyNet())), image()
    plain = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(x)
    assert out.disparities[0].dtype == out.extras["reconstruction"].dtype == torch.float32
    assert torch.equal(out.extras["redacted"], plain.extras["redacted"])
    assert plain.disparities[0].std() > 0.1  # beside which the difference is small
    torch.testing.assert_close(out.disparities[0], plain.disparities[0], atol=0.03, rtol=0)


def test_exports():
    network, x = perturbed(SharedAttention(TinyNet())).eval(), image((64, 96), batch=1)

    class Finest(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network(image).disparities[0]

    exported = torch.export.export(Finest(), (x,)).module()
    torch.testing.assert_close(exported(x), network(x).disparities[0])


def test_cost_at_inference():
    class Free(nn.Module):
        def forward(self, image):
            return DepthOutput((image[:, :1] * 0.5 + 0.1,))

    network = SharedAttention(Free()).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 192, 640))
    assert counter.get_total_flops() / 2 < 1.2e9  # multiplications; the whole ResNet-18 DepthNet takes 8e9


def test_bad_sizes():
    with pytest.raises(ValueError, match="multiples of 4"):
        SharedAttention(TinyNet(), patch=6)
