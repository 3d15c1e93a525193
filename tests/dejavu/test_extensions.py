"""DejaVu-CL, -TS and -SA in the whole: who gets a gradient, what is saved, and a tiny run of train.py."""

import json
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from datasets.world.making import WorldSpec, ensure_world
from depth.build import build_objective, build_optimizer
from depth.dejavu.attention import SharedAttention
from depth.dejavu.norms import untracked_norms
from depth.dejavu.text import TextSupervision
from depth.networks import build_depth_net
from depth.options.config import Config, resolved
from depth.options.data import DataOptions
from depth.options.dejavu import DejaVuOptions
from depth.options.evaluate import EvaluationOptions
from depth.options.predict import ExportOptions
from depth.options.presets import parse_training
from depth.prediction.export import export
from depth.runs.checkpoint import save_checkpoint
from depth.support.distributed import Process
from depth.trained import load_into, load_trained
from depth.types import UserError
from evaluate_depth import evaluate
from tests.dejavu.test_text import Tower
from tests.test_objective import gradient_of, make_batch
from train import train

CLIP_SIZE = 32


def make_config(**dejavu):
    data = DataOptions(dataset="synthetic", height=64, width=96)
    return resolved(Config(data=data, dejavu=DejaVuOptions(**{"dejavu": True, "perceptual": "lpips", **dejavu})))


def with_step(config, batch):
    """An objective after one optimiser step: some last layers start at zero and pass no gradient before it."""
    torch.manual_seed(0)
    objective = build_objective(config)
    optimizer, _ = build_optimizer(config, objective)
    objective(batch).loss.backward()
    optimizer.step()
    return objective


@pytest.fixture
def tiny_clip(monkeypatch):
    """A tower of one layer in CLIP's place, which needs no package."""
    torch.manual_seed(0)
    monkeypatch.setattr("depth.build.load_text_supervision", lambda *_: TextSupervision(Tower(), CLIP_SIZE))


def test_gradient_map_of_cyclic():
    """DejaVu-CL moves the network through I_G, and its target h(I) is detached."""
    objective, batch = build_objective(make_config(dejavu_cyclic=0.1)), make_batch()
    assert gradient_of(objective, objective(batch), ["cyclic"]) == {"depth_net", "dejavu"}
    detached = build_objective(make_config(dejavu_cyclic=0.1, dejavu_condition="detached"))
    # With a detached condition only the second pass is left: it still reaches the network, as a prediction of I_G.
    assert gradient_of(detached, detached(batch), ["cyclic"]) == {"depth_net", "dejavu"}


def test_gradient_map_of_text(tiny_clip):
    """DejaVu-TS reaches CRM and DepthNet, never PoseNet or CLIP, which is no part of the checkpoint either."""
    objective, batch = build_objective(make_config(dejavu_text=0.1)), make_batch()
    torch.nn.init.normal_(
        objective.dejavu.crm.to_rgb.weight, 0.0, 0.1
    )  # which begins at 0 and lets no gradient through
    output = objective(batch)
    assert gradient_of(objective, output, ["text"]) == {"depth_net", "dejavu"}
    assert objective.weights["text"] == 0.1 and output.terms.values["text"] > 0
    assert not any(name.startswith("text") for name in objective.state_dict())


def test_gradient_map_of_attention():
    """DejaVu-SA's reconstruction reaches the attention, D_r and the base network; not PoseNet, not D_e, not the CRM."""
    batch = make_batch()
    objective = with_step(make_config(dejavu_attention=True), batch)
    assert gradient_of(objective, objective(batch), ["attention_mse", "attention_lpips"]) == {"depth_net"}
    net = objective.depth_net
    reached = {name for name, m in net.named_children() if any(p.grad is not None for p in m.parameters())}
    assert "base" in reached and "reconstruct" in reached and "enhance" not in reached
    assert gradient_of(objective, objective(batch), ["photometric"]) == {"depth_net", "pose_net"}
    assert all(p.grad is None for p in net.reconstruct.parameters())


@pytest.mark.parametrize(
    "dejavu",
    [
        {},
        {"dejavu_condition": "none"},
        {"dejavu_weight": 0.0, "dejavu_cyclic": 0.1},
        {"dejavu_attention": True},
        {"dejavu_attention": True, "dejavu": False, "dejavu_weight": 0.0},
        {"dejavu_attention": True, "dejavu": False, "dejavu_mse": 0.0, "dejavu_lpips": 0.0},
    ],
)
def test_the_loss_reaches_all_that_learns(dejavu):
    """Several processes wait for every gradient: one that never comes ends the training in its second step."""
    batch = make_batch()
    objective = with_step(make_config(**dejavu), batch)
    objective.zero_grad(set_to_none=True)
    objective(batch).loss.backward()
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)


def test_attention_reconstructs_the_image_it_was_given():
    objective, batch = build_objective(make_config(dejavu=False, dejavu_attention=True)), make_batch()
    darker = replace(batch, target_aug=0.5 * batch.target_aug)
    output = objective(darker)
    assert set(output.terms.values) == {"photometric", "smoothness", "attention_mse", "attention_lpips"}
    expected = (output.attention.regenerated - darker.target_aug).square().mean()
    torch.testing.assert_close(output.terms.values["attention_mse"], expected)
    objective.eval()
    assert objective(batch).attention is not None and objective.depth_net(batch.target).extras is None


def test_regenerated_images_leave_the_running_statistics_alone():
    """What inference normalises with is of real frames, with and without DejaVu-CL."""
    batch, left = make_batch(), []
    for weight in (0.0, 0.1):
        torch.manual_seed(0)
        objective = build_objective(make_config(dejavu_cyclic=weight))
        objective(batch)
        left.append({n: b for n, b in objective.depth_net.named_buffers() if "running" in n})
    assert left[0] and all(torch.equal(left[0][name], left[1][name]) for name in left[0])


def test_untracked_norms_puts_the_momentum_back():
    norm = torch.nn.BatchNorm2d(1, momentum=0.3)
    with pytest.raises(KeyError), untracked_norms(norm):
        norm(torch.rand(2, 1, 2, 2) + 5)
        raise KeyError
    assert norm.momentum == 0.3 and norm.running_mean.item() == 0


def test_networks_start_alike_with_and_without_attention():
    objectives = []
    for attention in (False, True):
        torch.manual_seed(0)
        objectives.append(build_objective(make_config(dejavu=False, dejavu_attention=attention)))
    plain, attends = objectives
    assert isinstance(attends.depth_net, SharedAttention)
    for ours, theirs in ((plain.depth_net, attends.depth_net.base), (plain.pose_net, attends.pose_net)):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_attention_starts_from_a_plain_run(tmp_path):
    config = make_config(dejavu=False)
    torch.manual_seed(1)
    plain = build_objective(config)
    save_checkpoint(tmp_path / "best.pt", {"config": config.to_dict(), "networks": plain.inference_networks()})
    attends = build_objective(make_config(dejavu=False, dejavu_attention=True))
    load_into(attends, tmp_path / "best.pt")
    assert all(map(torch.equal, attends.depth_net.base.parameters(), plain.depth_net.parameters()))
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    for objective in (attends, plain):
        objective.eval()
    with torch.no_grad():
        before, after = (o.depth_net(image).disparities[0] for o in (plain, attends))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--dejavu_text 0.1", "--dejavu_text needs --dejavu"),
        ("--dejavu_cyclic 0.1", "--dejavu_cyclic needs --dejavu"),
        ("--dejavu --class_names road car", "--class_names needs --dejavu_text"),
        ("--dejavu --dejavu_text -1", "--dejavu_text"),
    ],
)
def test_extensions_that_hang_in_the_air(line, words):
    with pytest.raises(UserError, match=words):
        parse_training("", line.split())


def test_text_without_the_package_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(UserError, match="open_clip_torch") as caught:
        build_objective(make_config(dejavu_text=0.1))
    assert "\n" not in str(caught.value)


def test_text_with_a_small_random_openclip_model(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="the text extra is not installed")
    vision = {"image_size": CLIP_SIZE, "layers": 1, "width": 64, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = tmp_path / "tiny-clip.json"
    config.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(config)
    names = ("road", "car")
    options = {"dejavu_text": 0.1, "text_model": "tiny-clip", "text_weights": "random", "class_names": names}
    objective = build_objective(make_config(**options))
    assert objective.text.names.shape == (2, 16)
    assert gradient_of(objective, objective(make_batch()), ["text"]) == {"depth_net", "dejavu"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=64, width=96, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=4)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


@pytest.fixture(scope="module")
def run_folder(world, tmp_path_factory):
    """`train.py --dejavu --edit spectral --dejavu_cyclic 0.1 --dejavu_attention`, two steps of it."""
    log_dir = tmp_path_factory.mktemp("runs")
    line = "--dejavu --edit spectral --dejavu_cyclic 0.1 --dejavu_attention --dataset synthetic --height 64 --width 96"
    line += f" --num_layers 18 --data_path {world} --num_workers 0 --batch_size 2 --max_steps 2 --device cpu"
    line += " --log_frequency 1"
    config = parse_training("", f"{line} --log_dir {log_dir} --model_name sa".split())
    assert train(config, Process(0, 1, torch.device("cpu")))
    return log_dir / "sa"


def test_a_run_with_all_pictures_and_terms(run_folder):
    events = EventAccumulator(str(run_folder)).Reload()
    scalars, pictures = events.Tags()["scalars"], events.Tags()["images"]
    terms = ("regeneration_mse", "regeneration_lpips", "cyclic", "attention_mse", "attention_lpips", "total")
    assert set(scalars) >= {f"loss/{name}" for name in terms} | {"validation/abs_rel"}
    shown = ("2_redacted", "3_regenerated", "4_disparity", "7_attention_redacted", "8_attention_reconstruction")
    assert set(pictures) >= {f"validation_0/{name}" for name in shown}


def test_the_run_evaluates_and_exports(run_folder, world, tmp_path):
    model = load_trained(run_folder)
    assert isinstance(model.depth_net, SharedAttention) and model.path.name == "last.pt"
    plain = set(build_depth_net("resnet").state_dict())
    own = set(model.depth_net.state_dict())
    assert {name for name in own if name.startswith("base.")} == {f"base.{name}" for name in plain}
    assert not plain & own
    report = evaluate(
        EvaluationOptions(
            data_path=str(world), load_weights_folder=str(run_folder), num_workers=0, device="cpu", batch_size=2,
            eval_out_dir=str(tmp_path),
        )
    )  # fmt: skip
    assert report.result.means["abs_rel"] > 0
    _, difference = export(ExportOptions(str(run_folder), format="torchscript", output=str(tmp_path / "model.pt")))
    assert difference < 1e-4
