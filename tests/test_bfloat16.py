"""What bfloat16 autocast changes, per loss term: its value, and its gradient where it enters the networks.

The networks themselves are in bfloat16, so they are left out: disparities and motions are given. The cyclic term
predicts once more, with the network itself.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from depth.build import build_objective
from depth.dejavu.attention import SharedAttention
from depth.dejavu.crm import CRMS
from depth.types import DepthOutput, FrameBatch
from tests.fake_gpu import EXTENDED, HEIGHT, WIDTH, configuration


class Given(nn.Module):
    """Stands for a depth network: what it predicts first is given, then it is the network."""

    def __init__(self, network, disparities):
        super().__init__()
        self.network, self.given = network, [DepthOutput(tuple(disparities))]

    def forward(self, image):
        return self.given.pop() if self.given else self.network(image)


class GivenMotion(nn.Module):
    def __init__(self, motion, camera):
        super().__init__()
        self.motion, self.camera = motion, camera

    def forward(self, pair):
        return self.motion

    def pose_and_intrinsics(self, pair):
        return self.motion, self.camera


def street():
    """A batch with structure of every size: smooth noise that moves by 2 pixels a frame."""
    noise = [torch.rand(2, 3, HEIGHT // s, (WIDTH + 4) // s) for s in (1, 4, 8)]
    wide = sum(F.interpolate(n, (HEIGHT, WIDTH + 4), mode="bilinear") for n in noise) / 3
    frames = torch.stack([wide[..., shift : shift + WIDTH] for shift in (2, 0, 4)], 1)
    k = torch.tensor([[60.0, 0, 47.5], [0, 60.0, 31.5], [0, 0, 1]]).expand(2, 3, 3)
    return FrameBatch(
        frames[:, 0], frames[:, 1:], frames[:, 0], frames[:, 1:], k, torch.eye(4).expand(2, 4, 4), (-1, 1), ("a", "b")
    )


def terms_of(config, batch, bfloat16):
    """Values of the terms, and by term and place the gradients that arrive there; every run starts the same."""
    torch.manual_seed(1)
    objective = build_objective(config).train()
    ground = torch.linspace(0.02, 0.5, HEIGHT)[:, None] * (0.8 + 0.4 * batch.target.mean(1, keepdim=True))
    places = {f"disparity {s}": F.avg_pool2d(ground, 2**s).requires_grad_() for s in range(4)}
    places["motion"] = (0.01 * torch.randn(4, 6)).requires_grad_()
    places["camera"] = torch.tensor([[60.0, 60.0, 47.5, 31.5]]).repeat(4, 1).requires_grad_()
    objective.pose_net = GivenMotion(places["motion"], places["camera"])
    if isinstance(objective.depth_net, SharedAttention):
        objective.depth_net.base = Given(objective.depth_net.base, list(places.values())[:4])
        for decoder in (objective.depth_net.enhance, objective.depth_net.reconstruct):
            nn.init.normal_(decoder[-2].weight, std=0.02)  # they start at zero, which lets no gradient through
        modules = {"attention": [p for n, p in objective.depth_net.named_parameters() if not n.startswith("base.")]}
    else:
        objective.depth_net, modules = Given(objective.depth_net, list(places.values())[:4]), {}
    if objective.dejavu is not None:
        modules["crm"] = list(objective.dejavu.crm.parameters())
        for module in objective.dejavu.crm.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.any():
                nn.init.normal_(module.weight, std=0.02)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        terms = objective(batch).terms.values
    found = {}
    for term, value in terms.items():
        for place, tensors in ({name: [leaf] for name, leaf in places.items()} | modules).items():
            gradients = torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
            found[term, place] = torch.cat([g.flatten() for g in gradients if g is not None] or [torch.zeros(1)])
    return {term: value.detach() for term, value in terms.items()}, found


VARIANTS = {
    **{crm: EXTENDED | {"crm": crm, "dejavu_attention": False} for crm in CRMS},
    "attention": EXTENDED | {"edit": "blocks"},
    "learned intrinsics": {"learn_intrinsics": True},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_are_those_of_float32(variant):
    torch.manual_seed(0)
    batch, config = street(), configuration(**VARIANTS[variant])
    (exact, gradients), (rounded, found) = (terms_of(config, batch, bfloat16) for bfloat16 in (False, True))
    assert {term for term, place in found if found[term, place].any() and place == "disparity 0"} == set(exact)
    arrives = {
        "attention": ("smoothness", "attention"),
        "learned intrinsics": ("photometric", "camera"),
    }.get(variant, ("regeneration_lpips", "crm"))
    assert found[arrives].any()
    for term, value in exact.items():
        torch.testing.assert_close(rounded[term], value, rtol=2e-3, atol=0, msg=term)
    for key, gradient in gradients.items():
        if gradient.any():
            cosine = F.cosine_similarity(gradient.double(), found[key].double(), dim=0).item()
            assert cosine > 0.99, (key, cosine)
