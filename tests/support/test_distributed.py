"""Which device a process takes."""

import pytest
import torch
import torch.distributed as dist

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


def test_one_gpu_is_not_given_to_all_processes(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--device cuda:0 is one GPU for all processes of torchrun"):
        choose_device("cuda:0")


def test_a_gpu_that_pytorch_cannot_use_is_told_of(monkeypatch, capsys):
    """An old driver, or a PyTorch without CUDA: hours on the CPU would be a surprise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(distributed.Path, "is_file", lambda self: str(self) == "/proc/driver/nvidia/version")
    monkeypatch.setattr(distributed.Path, "exists", lambda self: str(self) == "/dev/nvidiactl")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert choose_device(None).type == "cpu"
    assert "has an NVIDIA GPU, but PyTorch is built" in capsys.readouterr().err
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert choose_device(None).type == "cpu" and capsys.readouterr().err == ""
    monkeypatch.setattr(distributed.Path, "is_file", lambda self: False)
    assert choose_device(None).type == "cpu" and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ncclRemoteError: a remote process exited", "another process has ended"),
        ("Failed to recv, got 0 bytes. Connection was likely closed.", "another process has ended"),
        ("NCCL error: ncclInvalidUsage\nLast error:\nDuplicate GPU detected", "Last error: Duplicate GPU detected"),
    ],
)
def test_what_nccl_complains_of_is_not_hidden(monkeypatch, text, said):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    with pytest.raises(UserError, match=f"^process 1 of 2: .*{said}"), distributed.process_group("cpu"):
        raise dist.DistBackendError(text)
