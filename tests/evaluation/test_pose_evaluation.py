"""Trajectory errors: hand-worked snippets with and without the published quirks, alignment, RPE."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth.evaluation.poses import (
    absolute_error,
    alignment,
    chain,
    evaluate_trajectory,
    motions_of,
    relative_error,
    snippet_errors,
    umeyama,
)


def motion(translation, degrees=0.0):
    """A step with a turn about the y axis."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    pose[:3, 3] = translation
    return pose


def wandering(seed, frames=12):
    rng = np.random.default_rng(seed)
    steps = np.tile(np.eye(4), (frames - 1, 1, 1))
    steps[:, :3, :3] = Rotation.from_rotvec(0.1 * rng.standard_normal((frames - 1, 3))).as_matrix()
    steps[:, :3, 3] = [0, 0, 1] + 0.2 * rng.standard_normal((frames - 1, 3))
    return chain(steps)


STRAIGHT = np.stack([motion((0, 0, 1))] * 2)
TURNING = np.stack([motion((0, 0, 1), 90)] * 2)


def test_chaining():
    assert np.allclose(chain(TURNING)[:, :3, 3], [(0, 0, 0), (0, 0, 1), (1, 0, 1)])
    trajectory = wandering(0)
    assert np.allclose(chain(motions_of(trajectory)), trajectory)


def test_a_snippet_by_hand():
    """g = (0,0,1), p = (1,0,1), inverted alike: s = 1/2, s p - g = (1/2, 0, -1/2), two positions."""
    truth, predicted = motion((0, 0, 1))[None], motion((1, 0, 1))[None]
    assert snippet_errors(truth, predicted) == pytest.approx([np.sqrt(0.5) / 2])
    assert snippet_errors(truth, predicted, length=2, quirks=False) == pytest.approx([np.sqrt(0.5 / 2)])


def test_the_published_quirks_by_hand():
    """Inverse motions: g = (0,0,0), (1,0,0), (1,0,1), p = z of 0, -1, -2: s = -2/5, squares 1.16 + 1.04. The second
    snippet has two frames. Without quirks g = (0,0,0), (0,0,1), (1,0,1), p = z of 0, 1, 2: s = 3/5, 0.16 + 1.04."""
    assert snippet_errors(TURNING, STRAIGHT) == pytest.approx([np.sqrt(2.2) / 3, 0.5])
    assert snippet_errors(TURNING, STRAIGHT, length=3, quirks=False) == pytest.approx([np.sqrt(1.2 / 3)])


def test_snippets_are_counted_as_published():
    motions = motions_of(wandering(1, frames=9))
    assert len(snippet_errors(motions, motions)) == 8
    assert len(snippet_errors(motions, motions, quirks=False)) == 5


def test_a_snippet_does_not_know_the_unit_of_a_whole_sequence():
    truth, other = motions_of(wandering(2)), motions_of(wandering(3))
    shrunk = other.copy()
    shrunk[:, :3, 3] *= 0.03
    assert np.allclose(snippet_errors(truth, shrunk), snippet_errors(truth, other))
    assert np.allclose(snippet_errors(truth, truth), 0)


@pytest.mark.parametrize("seed", range(3))
def test_umeyama_finds_a_similarity(seed):
    rng = np.random.default_rng(seed)
    points, shift = rng.standard_normal((7, 3)), rng.standard_normal(3)
    rotation = Rotation.random(random_state=seed).as_matrix()
    found = umeyama(points, 2.5 * points @ rotation.T + shift)
    assert found.scale == pytest.approx(2.5)
    assert np.allclose(found.rotation, rotation) and np.allclose(found.translation, shift)


def test_umeyama_never_mirrors():
    points = np.random.default_rng(0).standard_normal((7, 3))
    assert np.linalg.det(umeyama(points, points * [-1, 1, 1]).rotation) == pytest.approx(1)


def test_absolute_error_by_hand():
    """Truth z of 0, 1, 2, predicted 0, 2, 4: without alignment sqrt((0 + 1 + 4) / 3), with scale 1/2 nothing."""
    truth, predicted = np.zeros((2, 3, 3))
    truth[:, 2], predicted[:, 2] = [0, 1, 2], [0, 2, 4]
    assert absolute_error(truth, alignment(truth, predicted, "none")(predicted)) == pytest.approx(np.sqrt(5 / 3))
    fit = alignment(truth, predicted, "scale")
    assert fit.scale == 0.5 and absolute_error(truth, fit(predicted)) == pytest.approx(0)


def test_relative_error_by_hand():
    """One motion is right, the other 3 degrees and 0.2 m off: root mean squares over two."""
    truth = np.stack([motion((0, 0, 1))] * 2)
    predicted = np.stack([motion((0, 0, 0.5)), motion((0.1, 0, 0.5), 3)])
    metres, degrees = relative_error(truth, predicted, scale=2.0)
    assert metres == pytest.approx(0.2 / np.sqrt(2)) and degrees == pytest.approx(3 / np.sqrt(2))


def test_tiny_and_large_rotations():
    for degrees in (1e-6, 90.0, 179.999):
        truth = np.eye(4)[None]
        assert relative_error(truth, motion((0, 0, 0), degrees)[None], 1.0)[1] == pytest.approx(degrees, rel=1e-6)


def test_all_errors():
    truth = wandering(4)
    perfect = evaluate_trajectory(truth, truth)
    assert max(perfect.ate5, perfect.ate5_rmse, *perfect.ate.values(), *perfect.rpe.values()) < 1e-6
    assert perfect.rpe_degrees < 1e-6 and (perfect.frames, perfect.snippets) == (12, 11)
    errors = evaluate_trajectory(truth, wandering(5))
    assert errors.ate["7dof"] <= errors.ate["scale"] <= errors.ate["none"]
    halved = truth.copy()
    halved[:, :3, 3] /= 2
    errors = evaluate_trajectory(truth, halved)
    assert errors.scale["scale"] == pytest.approx(2) and errors.ate["scale"] == pytest.approx(0, abs=1e-9)
    # What is lacking is half of the way, of every position and of every step.
    half = {"ate": truth[:, :3, 3] / 2, "rpe": motions_of(truth)[:, :3, 3] / 2}
    for name, lacking in half.items():
        assert getattr(errors, name)["none"] == pytest.approx(np.sqrt(np.square(lacking).sum(1).mean()))


def test_a_camera_that_is_said_to_stand():
    truth = wandering(6)
    errors, where = evaluate_trajectory(truth, np.tile(np.eye(4), (12, 1, 1))), truth[:, :3, 3]
    away = np.sqrt(np.square(where).sum(1).mean())
    assert errors.ate["none"] == errors.ate["scale"] == pytest.approx(away)
    assert errors.ate["7dof"] == pytest.approx(np.sqrt(np.square(where - where.mean(0)).sum(1).mean()))
    steps = np.sqrt(np.square(motions_of(truth)[:, :3, 3]).sum(1).mean())
    assert list(errors.rpe.values()) == pytest.approx([steps] * 3) and set(errors.scale.values()) == {1.0}


def test_other_frames_are_a_bug():
    with pytest.raises(ValueError, match="same frames"):
        evaluate_trajectory(wandering(0), wandering(0)[:-1])
