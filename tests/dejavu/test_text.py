import builtins
import logging

import pytest
import torch
from torch import nn

from depth.dejavu.text import MEAN, STD, TextSupervision, load_text_supervision, text_supervision_from_clip
from depth.types import UserError


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 3, 48, 80, generator=generator) for _ in range(2))


class Tower(nn.Module):
    """Stands for CLIP's image tower."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 16, 5))

    def forward(self, image):
        return self.layer(image)


def test_preprocessing():
    seen = {}

    def tower(x):
        seen["x"] = x
        return x.mean((2, 3))

    supervision = TextSupervision(tower, 32)
    colour = torch.tensor(MEAN) + torch.tensor(STD) * torch.tensor([1.0, 2.0, -0.5])
    supervision.features(colour.view(3, 1, 1).expand(2, 3, 48, 80))
    assert seen["x"].shape == (2, 3, 32, 32)
    torch.testing.assert_close(seen["x"][0, :, 5, 5], torch.tensor([1.0, 2.0, -0.5]), atol=1e-4, rtol=0)


def test_same_image_costs_nothing():
    supervision = TextSupervision(Tower(), 32)
    x, y = images()
    assert supervision(x, x).item() == 0 < supervision(x, y).item()


def test_names_compare_cosines():
    torch.manual_seed(0)
    names = nn.functional.normalize(torch.randn(7, 5), dim=1)
    supervision = TextSupervision(Tower(), 32, names)
    x, y = images()
    cosines = [nn.functional.cosine_similarity(supervision.features(i)[:, None], names[None], dim=2) for i in (x, y)]
    torch.testing.assert_close(supervision(x, y), (cosines[0] - cosines[1]).square().mean())


def test_gradient_map():
    """The text loss reaches the regenerated image, never the target nor CLIP."""
    supervision = TextSupervision(Tower(), 32)
    x, y = (i.requires_grad_() for i in images())
    supervision(x, y).backward()
    assert x.grad.abs().sum() > 0 and y.grad is None
    assert not list(supervision.parameters()) and not supervision.state_dict()
    assert all(not b.requires_grad for b in supervision.buffers())


def test_autocast_leaves_clip_alone():
    supervision = TextSupervision(Tower(), 32)
    x, y = images()
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = supervision(x, y)
    assert torch.equal(under_autocast, supervision(x, y))


def test_stays_in_eval_mode():
    parent = nn.Sequential(TextSupervision(Tower(), 32)).train()
    assert parent.training and not any(m.training for m in parent[0].modules())


def test_package_absent(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "open_clip":
            raise ImportError("no module named open_clip")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match="open_clip_torch.*pip install"):
        load_text_supervision()


@pytest.fixture
def open_clip():
    return pytest.importorskip("open_clip", reason="the text extra is not installed")


@pytest.fixture
def small_clip(open_clip):
    torch.manual_seed(0)
    return open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    )


@pytest.mark.parametrize("class_names", [(), ("road", "car", "building")])
def test_small_random_openclip_model(open_clip, small_clip, class_names):
    x, y = images()
    supervision = text_supervision_from_clip(small_clip, open_clip.get_tokenizer("ViT-B-32"), class_names)
    if class_names:
        assert supervision.names.shape == (3, 16)
        torch.testing.assert_close(supervision.names.norm(dim=1), torch.ones(3))
    x.requires_grad_()
    loss = supervision(x, y)
    loss.backward()
    assert loss > 0 and x.grad.abs().sum() > 0
    assert not list(supervision.parameters()) and not supervision.state_dict()
    features = supervision.features(y)
    square = nn.functional.interpolate(y, (32, 32), mode="bicubic", antialias=True)
    square = (square - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(features, small_clip.encode_image(square))


def test_unknown_model_and_weights(open_clip, tmp_path):
    with pytest.raises(UserError, match="no model 'ViT-X-1'"):
        load_text_supervision("ViT-X-1")
    with pytest.raises(UserError, match="neither a file nor a tag of ViT-B-32 .*openai"):
        load_text_supervision("ViT-B-32", "nobodys")


def test_weights_from_a_file_and_at_random(open_clip, small_clip, tmp_path, monkeypatch):
    # A small architecture under a name of OpenCLIP's kind, so that nothing large is built.
    config = tmp_path / "tiny-clip.json"
    config.write_text(
        '{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}, '
        '"text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}'
    )
    open_clip.add_model_config(config)
    state = torch.get_rng_state()
    first, second = (load_text_supervision("tiny-clip", "random") for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    x, y = images()
    assert first(x, y) == second(x, y)

    path = tmp_path / "clip.pt"
    torch.save(small_clip.state_dict(), path)
    loaded = load_text_supervision("tiny-clip", str(path), ["road", "car"])
    expected = small_clip.encode_text(open_clip.get_tokenizer("tiny-clip")(["road", "car"]), normalize=True)
    torch.testing.assert_close(loaded.names, expected)

    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="clip.pt' of tiny-clip cannot be had") as caught:
        load_text_supervision("tiny-clip", str(path))
    assert "\n" not in str(caught.value)


def test_without_a_network_there_is_one_line(open_clip, monkeypatch, caplog):
    def offline(*arguments, **options):
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        logging.error("no network")
        raise RuntimeError("Failed to download the file for ViT-B-32. Last error: cut somewhere in " + "w" * 200)

    monkeypatch.setattr(open_clip, "create_model", offline)
    with pytest.raises(UserError, match=r"cannot be had \(Failed to download the file for ViT-B-32\); put them into"):
        load_text_supervision()
    assert not caplog.records and logging.root.manager.disable == logging.NOTSET
