"""From options to modules: weights of the losses, the schedule, what a trained model comes back as."""

import pytest
import torch
from torch import nn

from depth.build import branch_weights, build_objective, build_optimizer
from depth.options.config import Config, encoders_from_scratch, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.network import NetworkOptions
from depth.options.train import TrainOptions
from depth.runs.checkpoint import CheckpointFacts
from depth.trained import load_trained
from depth.types import UserError
from tests.tiny_run import add_best, save_run


def make_config(**groups):
    return resolved(Config(data=DataOptions(dataset="synthetic", height=64, width=96), **groups))


def test_gamma_weighs_both_image_terms():
    """0.2 (3 mse + 5 perceptual); DejaVu-CL and -TS have weights of their own, attention is weighed like the branch."""
    options = DejaVuOptions(dejavu=True, dejavu_attention=True, dejavu_weight=0.2, dejavu_mse=3.0, dejavu_lpips=5.0)
    weights = branch_weights(make_config(dejavu=options))
    for name in ("regeneration", "attention"):
        assert weights[f"{name}_mse"] == pytest.approx(0.6) and weights[f"{name}_lite"] == pytest.approx(1.0)
    assert weights["cyclic"] == weights["text"] == 0


@pytest.mark.parametrize(("epochs", "expected"), [(2, [1e-3, 1e-3, 1e-4]), (0, [1e-3, 1e-3, 1e-3])])
def test_the_learning_rate_falls_to_a_tenth_or_never(epochs, expected):
    train = TrainOptions(learning_rate=1e-3, scheduler_step_size=epochs, num_epochs=3)
    optimizer, scheduler = build_optimizer(make_config(train=train), nn.Linear(1, 1))
    assert _rates(optimizer, scheduler, 3) == pytest.approx(expected)


def _rates(optimizer, scheduler, epochs):
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("done", [2, 4])
def test_a_poly_run_that_is_lengthened_falls_to_its_new_end(done):
    """Of 8 epochs (1 - epoch / 8)^0.9, also where the first 4 had brought the rate to 0."""
    model = nn.Linear(1, 1)

    def build(epochs):
        train = TrainOptions(learning_rate=1.0, lr_schedule="poly", num_epochs=epochs)
        return build_optimizer(make_config(train=train), model)

    short, lengthened = build(4), build(8)
    _rates(*short, done)
    for new, old in zip(lengthened, short, strict=True):
        new.load_state_dict(old.state_dict())
    assert _rates(*lengthened, 8 - done) == pytest.approx([(1 - epoch / 8) ** 0.9 for epoch in range(done, 8)])
    assert lengthened[0].param_groups[0]["lr"] == 0

    again, unbroken = build(4), build(4)
    _rates(*unbroken, 1)
    for new, old in zip(again, unbroken, strict=True):
        new.load_state_dict(old.state_dict())
    assert _rates(*again, 3) == _rates(*unbroken, 3)  # to the last bit


def test_the_choice_of_a_runs_checkpoint(tmp_path):
    run = save_run(tmp_path / "run")
    add_best(run)
    last, best = load_trained(run), load_trained(run, "best")
    assert (last.path.name, last.checkpoint) == ("last.pt", CheckpointFacts("last", 2, 34, None))
    assert (best.path.name, best.checkpoint) == ("best.pt", CheckpointFacts("best", 1, 17, "lowest toy score"))
    for network in ("depth_net", "pose_net"):
        given, other = (list(getattr(model, network).parameters())[0] for model in (last, best))
        torch.testing.assert_close(other, 1.1 * given)


def test_an_original_folder_has_no_choice(tmp_path):
    (tmp_path / "encoder.pth").touch()
    with pytest.raises(UserError, match=r"--checkpoint_choice best: .* original Monodepth2 folder and has no choice"):
        load_trained(tmp_path, "best")


def test_trained_networks_are_for_inference(tmp_path):
    trained = load_trained(save_run(tmp_path / "run"))
    assert not any(module.training for net in (trained.depth_net, trained.pose_net) for module in net.modules())
    pair = torch.rand(2, 6, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # with the statistics of the batch, a sample's pose would depend on the other one
        torch.testing.assert_close(trained.pose_net(pair)[:1], trained.pose_net(pair[:1]))


def test_a_run_that_goes_on_reads_no_file_of_weights(tmp_path):
    """Its weights are in the checkpoint; the file of the first day may be gone."""
    network = NetworkOptions(encoder="resnet18", encoder_weights=str(tmp_path / "gone.pth"), pose_encoder="resnet18")
    config = make_config(network=network)
    with pytest.raises(UserError, match="gone.pth: no such file"):
        build_objective(config)
    assert build_objective(encoders_from_scratch(config)).depth_net.encoder.channels[-1] == 512
