"""--device mps: chosen with a line that says what it is; nothing asks for what such a GPU has not, float64."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from datasets.core.augment import prepare
from depth.build import build_objective
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.loss import LossOptions
from depth.options.network import NetworkOptions
from depth.support import distributed
from depth.support.distributed import choose_device
from depth.training.accumulation import backward_in_parts
from depth.types import Known, RawBatch, UserError


def test_where_there_is_none_it_is_one_line():
    if torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match="--device mps: this machine, or this PyTorch, has no Apple GPU") as raised:
        choose_device("mps")
    assert "\n" not in str(raised.value)


def test_it_is_chosen_with_a_line(monkeypatch, capsys):
    monkeypatch.setattr(distributed.torch, "empty", lambda *args, **kwargs: None)
    assert choose_device("mps") == torch.device("mps")
    said = capsys.readouterr().err
    assert "never tested" in said and "float32" in said and "PYTORCH_ENABLE_MPS_FALLBACK=1" in said


class NoFloat64(TorchDispatchMode):
    """As on Apple's GPUs: no operation may make a tensor of float64."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else [found]:
            assert not (isinstance(each, torch.Tensor) and each.dtype == torch.float64), f"{function} is in float64"
        return found


@pytest.mark.parametrize("dejavu", [False, True])
def test_a_step_makes_no_float64(dejavu):
    config = resolved(
        Config(
            data=DataOptions(dataset="synthetic", height=64, width=96),
            network=NetworkOptions(encoder_weights="scratch"),
            loss=LossOptions(pose_scale="speed", depth_supervision=0.1),
            dejavu=DejaVuOptions(dejavu=dejavu),
        )
    )
    objective = build_objective(config)
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 1e-4)
    raw = RawBatch(
        frames=torch.randint(0, 255, (2, 3, 3, 64, 96), dtype=torch.uint8),
        intrinsics=torch.tensor([[[60.0, 0, 47], [0, 60, 31], [0, 0, 1]]]).expand(2, 3, 3),
        stereo_from_target=torch.eye(4).expand(2, 4, 4),
        flip=torch.tensor([True, False]),
        jitter=torch.tensor([[1.1, 0.9, 1.2, 0.05], [1, 1, 1, 0]]),
        offsets=(-1, 1),
        names=("a", "b"),
        known=Known(
            counted=torch.ones(2, 1, 64, 96, dtype=torch.bool),
            travelled=torch.ones(2, 2),
            depth=torch.ones(2, 1, 64, 96),
        ),
    )
    with NoFloat64():
        output = backward_in_parts(objective, prepare(raw, "cpu"), 1, torch.device("cpu"), False)
        optimizer.step()
    assert output.loss.isfinite()
