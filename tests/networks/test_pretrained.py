"""Pretrained weights: how long a server may be silent. Messages and the cache: test_resnet.py, test_perceptual.py."""

import socket

import pytest
import torch
from torchvision.models import AlexNet_Weights

from depth.support.pretrained import pretrained_state
from depth.types import UserError


def test_a_server_has_seconds_to_answer(monkeypatch, tmp_path):
    limits = []

    def refuse(*_, **__):
        limits.append(socket.getdefaulttimeout())
        raise OSError("no route to host\nnor a second line")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    with pytest.raises(UserError) as caught:
        pretrained_state(AlexNet_Weights.IMAGENET1K_V1, "Weights", "go without")
    assert str(caught.value) == (
        "Weights alexnet-owt-7be5be79.pth cannot be fetched from download.pytorch.org (no route to host): "
        f"put the file into {tmp_path}/checkpoints, or go without"
    )
    assert limits == [10.0] and socket.getdefaulttimeout() is None
