"""What holds for every task: masks, gradients, results, truths, constants, pictures."""

import math

import numpy as np
import pytest
import torch

from depth.support.parts import constructor_of
from depth.tasks import TASKS, build_tasks, labels_of
from depth.tasks.base import nearest
from depth.training.dense_validation import labels_of as one_image
from depth.types import LabelMaps
from tests.dense_samples import CLASSES, labelled_batch, labels

HEIGHT, WIDTH = 64, 96


def task_and_outputs(name: str):
    """A task and random outputs of all heads, which need a gradient."""
    torch.manual_seed(0)
    tasks = build_tasks([name], classes=CLASSES)
    raw = {each: torch.randn(2, task.channels, HEIGHT, WIDTH, requires_grad=True) for each, task in tasks.items()}
    if "depth" in raw:
        raw["depth"] = raw["depth"].detach().sigmoid().requires_grad_()
    return tasks[name], raw


@pytest.mark.parametrize("name", TASKS)
def test_losses_are_named_finite_and_reach_the_head(name):
    task, raw = task_and_outputs(name)
    losses = task.losses(raw, labels())
    assert tuple(losses) == task.terms
    total = sum(losses.values())
    assert total.ndim == 0 and torch.isfinite(total) and total > 0
    total.backward()
    assert raw[name].grad.abs().sum() > 0


@pytest.mark.parametrize("name", TASKS)
def test_pixels_without_a_label_have_no_gradient(name):
    task, raw = task_and_outputs(name)
    sum(task.losses(raw, labels()).values()).backward()
    gradient = raw[name].grad.abs().sum(1)
    known = {
        "panoptic": (labels().semantics != 255) | (labels().instances > 0),
        "depth": labels().depth[:, 0] > 0,
        "normals": (labels().normals != 0).any(1),
    }.get(name, labels().semantics != 255)
    assert gradient[~known].sum() == 0 and gradient[known].sum() > 0


@pytest.mark.parametrize("name", TASKS)
def test_nothing_labelled_is_no_loss(name):
    task, raw = task_and_outputs(name)
    empty = LabelMaps(
        torch.full((2, HEIGHT, WIDTH), 255, dtype=torch.uint8),
        torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8),
        torch.zeros(2, 1, HEIGHT, WIDTH),
        torch.zeros(2, 3, HEIGHT, WIDTH),
    )
    assert all(value == 0 for value in task.losses(raw, empty).values())


@pytest.mark.parametrize("name", TASKS)
def test_condition_has_its_channels_and_a_gradient(name):
    task, raw = task_and_outputs(name)
    condition = task.condition(raw)
    assert condition.shape == (2, task.condition_channels, HEIGHT, WIDTH)
    (condition**2).sum().backward()
    assert raw[name].grad.abs().sum() > 0


def test_the_module_sees_decisions_with_the_gradient_of_the_probabilities():
    """Logits 0 and ln 3 are 1/4 and 3/4, whose difference has the gradient 2 * 3/16; no brightness hides in a 1."""
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).requires_grad_()
    for form, values in (("decided", [0.0, 1.0]), ("probabilities", [0.25, 0.75])):
        task = build_tasks(["semantics"], classes=CLASSES, dejavu_classes=form)["semantics"]
        seen = task.condition({"semantics": logits})
        assert seen.flatten().tolist() == pytest.approx(values)
        (gradient,) = torch.autograd.grad(seen[0, 1] - seen[0, 0], logits)
        assert gradient.flatten().tolist() == pytest.approx([-3 / 8, 3 / 8])
        other = task.condition({"semantics": logits + 0.1 * torch.rand(1, 2, 1, 1)})
        assert torch.equal(other, seen) == (form == "decided")


@pytest.mark.parametrize("name", TASKS)
def test_results_truths_and_constants_are_scored_and_shown(name):
    task, raw = task_and_outputs(name)
    truth = task.truth(one_image(labelled_batch(), 0))
    results = task.results({key: value.detach() for key, value in raw.items()}, (HEIGHT, WIDTH))
    perfect, noise, constant = task.score(), task.score(), task.score()
    perfect.add(truth, task.resize(truth, truth.shape[:2]) if name != "depth" else np.where(truth > 0, truth, 1))
    noise.add(truth, results[0])
    constant.add(truth, task.constant([truth, truth]))
    assert set(task.figures) <= set(perfect.results()) and task.compared in perfect.results()
    judged = [task.judge(score.results()) for score in (perfect, noise)]
    assert judged[0] == pytest.approx(0, abs=0.01) and judged[1] > judged[0]
    assert np.isfinite(task.judge(constant.results()))
    for result in (truth, results[0]):
        picture = task.picture(result)
        assert picture.dtype == np.uint8 and picture.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("name", TASKS)
def test_results_come_at_any_size(name):
    task, raw = task_and_outputs(name)
    raw = {key: value.detach() for key, value in raw.items()}
    assert task.results(raw, (100, 50)).shape[:3] == (2, 100, 50)
    result = task.results(raw, (HEIGHT, WIDTH))[0]
    assert task.resize(result, (128, 30)).shape[:2] == (128, 30)


def test_tasks_bring_what_they_need_and_keep_their_order():
    assert list(build_tasks(["panoptic"], classes=CLASSES)) == ["semantics", "panoptic"]
    assert list(build_tasks(["normals", "depth"], classes=CLASSES)) == ["depth", "normals"]
    assert labels_of(["semantics", "panoptic"]) == ("semantics", "instances")
    assert all(constructor_of(TASKS, name, "task").name == name for name in TASKS)


def test_ids_at_another_size():
    """Centres of the new rows lie at 0.25, 0.75, 1.25, 1.75 old ones, those of the columns at 0.75 and 2.25."""
    assert nearest(np.arange(6).reshape(2, 3), (4, 2)).tolist() == [[0, 2], [0, 2], [3, 5], [3, 5]]
