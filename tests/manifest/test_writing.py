"""What the writers of manifests share: rotations of quaternions, the nearest of some times."""

import numpy as np
import pytest

from datasets.tools.writers.writing import nearest, rotation_of


def test_quaternions_and_nearest_times():
    half = np.sqrt(0.5)
    assert np.allclose(rotation_of(half, 0, 0, half), [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert np.allclose(rotation_of(2, 0, 0, 0), np.eye(3))
    with pytest.raises(ValueError):
        rotation_of(0, 0, 0, 0)
    times = np.array([1.0, 2.0, 4.0])
    assert [nearest(times, t, 0.6) for t in (0.5, 1.5, 2.9, 3.5, 4.7)] == [0, 0, None, 2, None]
    assert nearest(np.array([]), 1.0, 9) is None and nearest(np.array([3.0]), 3.1, 1) == 0
