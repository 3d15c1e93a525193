"""Several tasks on one network: who gets a gradient from what, how losses are weighed, what is left for inference."""

import pytest
import torch

from depth.networks.dense_net import DepthPart
from tests.dense_samples import ALL, dense_objective, labelled_batch

BRANCH = {"dejavu": True, "lpips_net": "squeeze", "crm": "forward"}  # which sends a gradient from the first step on
IMAGE_TERMS = ("regeneration_mse", "regeneration_lpips")


def reached(objective, value) -> set[str]:
    """The parts that get a gradient: encoder, a decoder a task, pose_net, crm."""
    objective.zero_grad(set_to_none=True)
    value.backward()
    net = objective.depth_net
    parts = {"encoder": net.encoder, **net.decoders}
    parts |= {"depth": net.depth_decoder, "pose": objective.pose_net, "crm": objective.dejavu and objective.dejavu.crm}
    grads = {
        name: sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
        for name, part in parts.items()
        if part is not None
    }
    return {name for name, total in grads.items() if total > 0}


@pytest.mark.parametrize("task", ALL)
def test_labels_reach_their_decoder_and_the_encoder(task):
    objective = dense_objective(depth_from="labels")
    output = objective(labelled_batch())
    own = {"panoptic": {"panoptic"}}.get(task, {task})
    terms = objective.tasks[task].terms
    assert reached(objective, sum(output.terms.values[name] for name in terms)) == {"encoder"} | own


@pytest.mark.parametrize("task", ALL)
def test_regeneration_reaches_exactly_the_tasks_it_sees(task):
    objective = dense_objective(depth_from="labels", dejavu=BRANCH, dejavu_tasks=(task,))
    output = objective(labelled_batch())
    seen = {"semantics", "panoptic"} if task == "panoptic" else {task}
    assert set(objective.conditions) == seen
    value = sum(output.terms.values[name] for name in IMAGE_TERMS)
    assert reached(objective, value) == {"encoder", "crm"} | seen


def test_all_tasks_are_seen_by_default():
    objective = dense_objective(depth_from="labels", dejavu=BRANCH | {"dejavu_cyclic": 1.0})
    output = objective(labelled_batch())
    assert objective.conditions == ALL
    value = sum(output.terms.values[name] for name in (*IMAGE_TERMS, "cyclic"))
    assert reached(objective, value) == {"encoder", "crm", *ALL}


def test_video_and_labels_train_together():
    objective = dense_objective(("depth", "semantics"), depth_from="video")
    assert objective.labelled == ("semantics",) and objective.pose_net is not None
    output = objective(labelled_batch((-1, 1)))
    assert set(output.terms.values) == {"photometric", "smoothness", "semantics"}
    assert reached(objective, output.terms.values["photometric"]) == {"encoder", "depth", "pose"}
    both = dense_objective(("depth",), depth_from="both")(labelled_batch((-1, 1)))
    assert set(both.terms.values) == {"photometric", "smoothness", "depth"}


def test_labels_alone_need_no_pose_network():
    for tasks in (("semantics",), ("depth", "normals")):
        objective = dense_objective(tasks, depth_from="labels" if "depth" in tasks else "video")
        assert objective.pose_net is None
        output = objective(labelled_batch())
        assert output.synthesized is None and "photometric" not in output.terms.values


def test_fixed_weights_add_up():
    objective = dense_objective(normals_weight=3.0, semantics_weight=0.0, centre_weight=7.0, depth_from="labels")
    output = objective(labelled_batch())
    values = {name: value.item() for name, value in output.terms.values.items()}
    assert "semantics" not in values
    expected = 3 * values["normals"] + 7 * values["centre"] + 0.01 * values["offset"] + 10 * values["depth"]
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)


def test_uncertainty_weighs_tasks_and_leaves_the_branch_alone():
    objective = dense_objective(("semantics", "normals"), dejavu=BRANCH, balance="uncertainty")
    with torch.no_grad():
        objective.log_variances.copy_(torch.tensor([0.5, -1.0]))
    output = objective(labelled_batch())
    values = {name: value.item() for name, value in output.terms.values.items()}
    branch = sum(objective.weights[name] * values[name] for name in IMAGE_TERMS)
    e = 2.718281828
    expected = e**-0.5 * values["semantics"] + 0.25 + e * 10 * values["normals"] - 0.5 + branch
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    output.loss.backward()
    # d/ds (e^-s L + s / 2)
    wanted = [-(e**-0.5) * values["semantics"] + 0.5, -e * 10 * values["normals"] + 0.5]
    assert objective.log_variances.grad.tolist() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("shared", [False, True])
def test_the_branch_costs_nothing_at_inference(shared):
    """Same weights by name and size, the same outputs, and no call of the branch."""
    plain = dense_objective(depth_from="labels", shared_decoder=shared)
    branched = dense_objective(depth_from="labels", shared_decoder=shared, dejavu=BRANCH)
    shapes = [{n: v.shape for n, v in o.inference_networks()["dense"].items()} for o in (plain, branched)]
    assert shapes[0] == shapes[1] and set(plain.inference_networks()) == {"dense"}
    branched.depth_net.load_state_dict(plain.depth_net.state_dict())
    image = torch.rand(1, 3, 64, 96)
    found = [o.eval().depth_net(image).outputs() for o in (plain, branched)]
    assert all(found[0][name].equal(found[1][name]) for name in ALL)


def test_outputs_have_their_sizes():
    for shared in (False, True):
        net = dense_objective(depth_from="labels", shared_decoder=shared).depth_net.eval()
        output = net(torch.rand(2, 3, 64, 96))
        sizes = {name: tuple(value.shape) for name, value in output.outputs().items()}
        assert sizes == {
            "depth": (2, 1, 64, 96), "semantics": (2, 3, 64, 96), "normals": (2, 3, 64, 96), "panoptic": (2, 3, 64, 96)
        }  # fmt: skip
        assert len(output.depth.disparities) == 4
        part = DepthPart(net).eval()
        image = torch.rand(1, 3, 64, 96)
        assert part(image).disparities[0].equal(net(image).depth.disparities[0])
    with pytest.raises(ValueError, match="multiples of 32"):
        net(torch.rand(1, 3, 60, 96))


@pytest.mark.parametrize(("shared", "normed"), [(False, {"normals", "panoptic"}), (True, {"shared"})])
def test_decoders_that_learn_by_an_l1_have_norms(shared, normed):
    """See tests/networks/test_task_decoder.py for what becomes of it without."""
    decoders = dense_objective(depth_from="labels", shared_decoder=shared).depth_net.decoders
    kinds = {name: [isinstance(m, torch.nn.BatchNorm2d) for m in each.modules()] for name, each in decoders.items()}
    assert {name for name, found in kinds.items() if any(found)} == normed
