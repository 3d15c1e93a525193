"""Which device a process takes."""

import pytest
import torch

from depth.support import distributed
from depth.support.distributed import choose_device
from depth.types import UserError


@pytest.mark.parametrize("name", ["cuda", None])
def test_a_gpu_without_a_number_is_this_ranks(name, monkeypatch):
    """torch.cuda.set_device refuses a device without an index."""
    asked = []
    monkeypatch.setattr(distributed.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(distributed.torch, "empty", lambda _size, device: asked.append(device))
    assert choose_device(name, 3) == torch.device("cuda", 3) == asked[0]


def test_a_numbered_gpu_stays(monkeypatch):
    monkeypatch.setattr(distributed.torch, "empty", lambda _size, device: None)
    assert choose_device("cuda:1", 3) == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["gpu", "mps", "meta", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_one_line(name):
    with pytest.raises(UserError, match=f"^--device {name}:? [^\n]+$") as error:
        choose_device(name)
    assert len(str(error.value)) < 300
