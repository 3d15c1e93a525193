import importlib.util
import warnings
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from torch import nn

from depth.losses.perceptual import TRUNKS, PerceptualLoss, freeze, unit_distance
from depth.types import UserError
from tests.losses.autocast import equal_under_autocast

SHARED_TRUNK = Path(__file__).parents[3] / "shared" / "weights" / "squeezenet1_1_features_fp16.pth"


def images(size=(64, 96), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 3, *size, generator=generator) for _ in range(2))


def oracle(loss, net):
    """The lpips package's own module with the trunk of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    trunk = dict(loss.trunk.named_buffers())
    module.net.load_state_dict({key: trunk[key.split(".", 1)[1]] for key in module.net.state_dict()})
    return module


def test_unit_distance_by_hand():
    # (3,4)/5 = (.6,.8) against (0,1): squared differences (.36,.04), weighted .36 + 2 * .04; the second pixel is 0.
    feature = torch.tensor([[3.0, 1.0], [4.0, 0.0]]).view(1, 2, 1, 2)
    reference = torch.tensor([[0.0, 2.0], [7.0, 0.0]]).view(1, 2, 1, 2)
    weight = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(unit_distance(feature, reference, weight), torch.tensor([0.22]))


def test_without_the_package_a_line_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="the package lpips is not installed; install it with: pip install lpips"):
        PerceptualLoss("squeeze", "random")


def test_unit_distance_gradient():
    torch.manual_seed(0)
    feature = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    reference, weight = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: unit_distance(f, reference, weight), feature)


def test_no_nan_where_all_features_are_zero():
    feature = torch.zeros(1, 4, 2, 2, requires_grad=True)
    unit_distance(feature, torch.rand(1, 4, 2, 2), torch.ones(4)).sum().backward()
    assert feature.grad.isfinite().all()


@pytest.mark.parametrize("net", TRUNKS)
def test_equals_the_package(net):
    loss = PerceptualLoss(net, "random")
    theirs = oracle(loss, net)
    x, y = images()
    x.requires_grad_()
    expected = theirs(x, y, normalize=True).flatten()
    distances = loss.distances(x, y)
    torch.testing.assert_close(distances, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(loss(x, y), expected.mean(), atol=1e-5, rtol=0)
    assert distances.min() > 0.01
    if net != "vgg":  # there, rounding may choose another pixel of a max pooling
        ours, reference = (torch.autograd.grad(d.sum(), x)[0] for d in (distances, expected))
        torch.testing.assert_close(ours, reference, atol=1e-4 * float(reference.abs().max()), rtol=0)


def test_is_a_distance_of_images():
    loss = PerceptualLoss("alex", "random")
    x, y = images()
    assert loss(x, x).item() == 0
    near = (x + 0.02 * (y - 0.5)).clamp(0, 1)
    assert 0 < loss(near, x) < loss(y, x)
    with pytest.raises(ValueError, match="of one size"):
        loss(x, y[..., :64])


def test_gradient_reaches_the_regenerated_image_only():
    loss = PerceptualLoss("squeeze", "random")
    x, y = (i.requires_grad_() for i in images())
    loss(x, y).backward()
    assert x.grad.abs().sum() > 0 and y.grad is None


class Parent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.perceptual = PerceptualLoss("alex", "random")


def test_hidden_from_its_parent():
    parent = Parent()
    assert sorted(parent.state_dict()) == ["layer.bias", "layer.weight"]
    assert [name for name, _ in parent.named_parameters()] == ["layer.weight", "layer.bias"]
    parent.load_state_dict(parent.state_dict(), strict=True)


def test_follows_its_parent():
    parent = Parent().to(torch.float64)
    x, y = images()
    assert parent.perceptual(x.double(), y.double()).isfinite()
    assert all(b.dtype == torch.float64 for b in parent.perceptual.buffers())
    assert all(b.device.type == "meta" for b in Parent().to("meta").perceptual.buffers())


def test_stays_in_eval_mode():
    parent = Parent().train()
    assert parent.training
    assert not any(m.training for m in parent.perceptual.modules())


def test_freeze_keeps_what_a_module_computes():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.TransformerEncoderLayer(6, 2, 8)).eval()
    x = torch.rand(1, 3, 8, 8)
    expected = module[2](module[:2](x)[0])
    frozen = freeze(module.train())
    torch.testing.assert_close(frozen[2](frozen[:2](x)[0]), expected)
    assert not list(frozen.parameters()) and not frozen.state_dict()


def test_random_trunk_is_seeded_and_leaves_the_global_state():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = PerceptualLoss("alex", "random"), PerceptualLoss("alex", "random")
    assert torch.equal(torch.get_rng_state(), state)
    x, y = images()
    assert first(x, y) == second(x, y)


def test_silent(capsys, recwarn):
    PerceptualLoss("squeeze", "random")
    assert capsys.readouterr() == ("", "") and not recwarn.list


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("whole_model", [False, True])
def test_weights_from_a_file(tmp_path, dtype, whole_model):
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1()
    state = {k: v.to(dtype) for k, v in model.state_dict().items() if whole_model or k.startswith("features.")}
    torch.save(state, tmp_path / "trunk.pth")
    loss = PerceptualLoss("squeeze", tmp_path / "trunk.pth")
    for name, buffer in loss.trunk.named_buffers():
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, state[f"features.{name}"].float())


def test_files_that_do_not_fit(tmp_path):
    path = tmp_path / "trunk.pth"
    with pytest.raises(UserError, match="trunk.pth: no such file"):
        PerceptualLoss("squeeze", path)
    for text in (b"not a checkpoint", b"# A title\n\ntext", b"text", b""):
        path.write_bytes(text)
        with pytest.raises(UserError, match="trunk.pth: not a readable state dict") as caught:
            PerceptualLoss("squeeze", path)
        assert "weights_only" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="trunk.pth: not a state dict"):
        PerceptualLoss("squeeze", path)
    state = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, path)
    with pytest.raises(UserError, match="does not fit alex: features.0.weight is .64, 3, 3, 3., expected .64, 3, 11"):
        PerceptualLoss("alex", path)
    del state["features.3.squeeze.bias"]
    torch.save(state, path)
    with pytest.raises(UserError, match="features.3.squeeze.bias is absent"):
        PerceptualLoss("squeeze", path)


def test_no_pickled_code(tmp_path):
    path = tmp_path / "trunk.pth"
    torch.save(torchvision.models.squeezenet1_1(), path)
    with pytest.raises(UserError, match=r"not a readable state dict \(it is in another format, or holds more than"):
        PerceptualLoss("squeeze", path)


def test_unknown_net():
    with pytest.raises(UserError, match="unknown LPIPS net 'resnet'.*squeeze, alex, vgg"):
        PerceptualLoss("resnet", "random")


def test_pretrained_that_cannot_be_had(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(UserError) as caught:
        PerceptualLoss("squeeze", "pretrained")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("squeezenet1_1-b8a52dc0.pth", str(tmp_path / "checkpoints"), "--lpips_weights random", "FILE"):
        assert part in message


def test_damaged_pretrained_weights_are_named(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"not a checkpoint")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="squeezenet1_1-b8a52dc0.pth are damaged.*delete.*--lpips_weights random"):
        PerceptualLoss("squeeze", "pretrained")


def test_pretrained_from_the_cache(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    loss = PerceptualLoss("squeeze", "pretrained")
    assert torch.equal(loss.trunk.get_buffer("0.weight"), state["features.0.weight"])


@pytest.mark.skipif(not SHARED_TRUNK.is_file(), reason="no SqueezeNet trunk in ../shared/weights")
def test_a_real_trunk_ranks_blur_above_noise_free_copies():
    loss = PerceptualLoss("squeeze", SHARED_TRUNK)
    x, y = images((96, 160))
    expected = oracle(loss, "squeeze")(x, y, normalize=True).flatten()
    torch.testing.assert_close(loss.distances(x, y), expected, atol=1e-5, rtol=0)
    assert loss(x, y) > 5 * loss((x + 0.01).clamp(0, 1), x)


def test_under_autocast():
    assert equal_under_autocast(PerceptualLoss("squeeze", "random"), *images())
