"""Centres and offsets: targets by hand, mirrored with their frame, and decoded back into what they came from."""

import numpy as np
import pytest
import torch

from datasets.core.labels import mirror_labels
from depth.metrics.panoptic import VOID
from depth.tasks.panoptic import Panoptic, find_centres, panoptic_targets
from depth.types import IGNORE, Labels
from tests.dense_samples import CLASSES, labels


def test_targets_by_hand():
    instances = torch.zeros(1, 8, 8, dtype=torch.uint8)
    instances[0, 2:5, 1:4] = 1  # centre (3, 2)
    heatmap, offsets = panoptic_targets(instances)
    assert heatmap[0, 0, 3, 2] == 1 and heatmap.max() == 1
    assert heatmap[0, 0, 3, 4] == pytest.approx(np.exp(-4 / 32))  # sigma is 4 pixels, the least
    assert offsets[0, :, 2, 1].tolist() == [1, 1] and offsets[0, :, 4, 3].tolist() == [-1, -1]
    assert offsets[0, :, 6, 6].tolist() == [0, 0]


def test_images_of_a_batch_do_not_mix():
    instances = torch.zeros(2, 8, 8, dtype=torch.uint8)
    instances[0, :2, :2], instances[1, 6:, 6:] = 1, 3
    heatmap, offsets = panoptic_targets(instances)
    for i in range(2):
        alone = panoptic_targets(instances[i : i + 1])
        assert heatmap[i].equal(alone[0][0]) and offsets[i].equal(alone[1][0])
    empty = panoptic_targets(torch.zeros(1, 8, 8, dtype=torch.uint8))
    assert not empty[0].any() and not empty[1].any()


def test_targets_of_a_mirrored_frame_are_mirrored():
    """The offsets' dx changes its sign, dy does not."""
    maps = labels()
    turned = mirror_labels(maps, torch.tensor([True, True]))
    heatmap, offsets = panoptic_targets(maps.instances)
    mirrored_heatmap, mirrored = panoptic_targets(turned.instances)
    assert mirrored_heatmap.allclose(heatmap.flip(-1), atol=1e-6)
    assert mirrored[:, 0].allclose(offsets[:, 0].flip(-1), atol=1e-4)
    assert mirrored[:, 1].allclose(-offsets[:, 1].flip(-1), atol=1e-4)


def perfect_outputs(maps) -> dict[str, torch.Tensor]:
    classes = maps.semantics.long().clamp(max=2)
    heatmap, offsets = panoptic_targets(maps.instances)
    raw = torch.cat([heatmap, offsets / (maps.instances.shape[1] / 8)], 1)
    return {"semantics": 20 * torch.nn.functional.one_hot(classes, 3).movedim(3, 1).float(), "panoptic": raw}


@pytest.mark.parametrize("size", [(64, 96), (128, 192)])
def test_perfect_heads_give_the_things_back(size):
    maps = labels()
    maps.semantics[maps.semantics == IGNORE] = 0
    task = Panoptic(CLASSES)
    results = task.results(perfect_outputs(maps), size)
    truth = task.truth(Labels(maps.semantics[0].numpy(), maps.instances[0].int().numpy()))
    score = task.score()
    score.add(task.resize(truth, size), results[0])
    assert score.results()["pq"] == pytest.approx(1)
    assert {"pq/sky", "pq/road", "pq/car"} <= set(score.results())
    assert len(np.unique(results[0][results[0] // 1000 == 2])) == 2


def test_no_centre_means_no_thing():
    outputs = perfect_outputs(labels())
    outputs["panoptic"][:, 0] = 0
    result = Panoptic(CLASSES).results(outputs, (64, 96))[0]
    assert set(np.unique(result)) <= {VOID, 0, 1000}
    assert (result[40, 15], result[40, 55]) == (VOID, VOID)


def test_maxima_above_the_threshold():
    heatmap = torch.zeros(20, 30)
    heatmap[4, 5], heatmap[4, 6], heatmap[15, 20], heatmap[10, 10] = 0.9, 0.8, 0.5, 0.05
    assert find_centres(heatmap).tolist() == [[4, 5], [15, 20]]


def test_equal_neighbours_are_one_centre():
    heatmap = torch.zeros(20, 30)
    heatmap[4:6, 5:7] = 0.9
    assert find_centres(heatmap).tolist() == [[4, 5]]


def test_truth_has_crowds_and_void():
    semantics = np.array([[0, 2, 2, 2, IGNORE]], np.uint8)
    truth = Panoptic(CLASSES).truth(Labels(semantics, np.array([[0, 0, 26001, 26002, 0]], np.int32)))
    assert truth.tolist() == [[0, 2000, 2001, 2002, VOID]]
    whole = Panoptic(CLASSES).truth(Labels(semantics[:, 2:4], np.array([[7, 9]], np.int32)))
    assert whole.tolist() == [[2001, 2002]]


def test_the_constant_has_no_things():
    truths = [np.array([[0, 2001, 1000, VOID]]), np.array([[0, 2002, 1000, VOID]])]
    assert Panoptic(CLASSES).constant(truths).tolist() == [[0, VOID, 1000, 0]]


def test_the_picture_tells_things_apart():
    """Stuff and a crowd have their class's colour, things a lighter one each; void is black."""
    picture = Panoptic(CLASSES).picture(np.array([[1000, 2000, 2001, 2002, 2003, VOID]]))[0]
    assert picture[0].tolist() == list(CLASSES.colours[1]) and picture[1].tolist() == list(CLASSES.colours[2])
    assert not picture[5].any()
    things = picture[2:5].astype(int).sum(1)
    assert (things > picture[1].astype(int).sum()).all() and (np.abs(np.diff(things)) > 100).all()
