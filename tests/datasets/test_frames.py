import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core.evaluated import EvalDataset
from datasets.core.frames import (
    NO_JITTER,
    FrameDataset,
    collate,
    draw_augmentation,
    resize_view,
)
from datasets.core.splits import FrameRef
from datasets.kitti.layout import KittiRaw
from depth.types import DepthPixels, UserError
from tests.kitti_layout import DRIVE, HEIGHT, WIDTH, picture, write_raw


def refs(*frames, side="l"):
    return [FrameRef(DRIVE, frame, side) for frame in frames]


def chw(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def test_intrinsics_of_half_an_image_by_hand():
    k = np.array([[20.0, 0, 19.5], [0, 20, 11.5], [0, 0, 1]])
    image, half = resize_view(chw(picture(0)), k, 12, 20)
    # Pixel 19.5 is the middle of 40 columns; the middle of 20 is 9.5.
    assert half.tolist() == [[10, 0, 9.5], [0, 10, 5.5], [0, 0, 1]]
    assert image.shape == (3, 12, 20)


@pytest.mark.parametrize("size", [(48, 96), (75, 64), (120, 200), (96, 320)])
def test_the_image_moves_with_its_intrinsics(size):
    """A blob seen along a ray is, after the resize, where the new intrinsics project that ray."""
    height, width = 150, 200
    k = np.array([[180.0, 0, 97.3], [0, 175, 76.1], [0, 0, 1]])
    ray = np.array([0.11, -0.09, 1.0])
    u, v, _ = k @ ray
    y, x = np.mgrid[:height, :width]
    blob = 250 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 9.0**2))
    image = torch.from_numpy(np.repeat(np.round(blob).astype(np.uint8)[None], 3, 0))
    resized, new_k = resize_view(image, k, *size)
    weights = resized[0].double().numpy()
    y, x = np.mgrid[: size[0], : size[1]]
    centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    assert np.allclose(centre, (new_k @ ray)[:2], atol=0.03)


def test_a_sample_holds_target_then_sources_in_the_order_of_offsets(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(5)))
    dataset = FrameDataset(source, refs(2), HEIGHT, WIDTH, (-1, 1), use_stereo=True, augment=False)
    sample = dataset[(0, 0)]
    assert dataset.offsets == sample.offsets == (-1, 1, 0)
    for frame, seed in zip(sample.frames, (2, 1, 3, 102), strict=True):
        assert torch.equal(frame, chw(picture(seed)))
    assert sample.intrinsics.tolist() == [[20, 0, 19.5], [0, 20, 11.5], [0, 0, 1]]
    assert sample.stereo_from_target[:3, 3].tolist() == [-0.5, 0, 0]
    assert (sample.flip, sample.jitter, sample.name) == (False, NO_JITTER, f"{DRIVE} 2 l")
    right = FrameDataset(source, refs(2, side="r"), HEIGHT, WIDTH, (), use_stereo=True)[0]
    assert torch.equal(right.frames[1], chw(picture(2)))
    assert right.stereo_from_target[0, 3] == 0.5
    mono = FrameDataset(source, refs(2), HEIGHT, WIDTH)[0]
    assert torch.equal(mono.stereo_from_target, torch.eye(4))


def test_collate_stacks(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(5), "l"))
    dataset = FrameDataset(source, refs(1, 2, 3), 12, 20, seed=4)
    batch = collate([dataset[(1, i)] for i in range(3)])
    assert batch.frames.shape == (3, 3, 3, 12, 20) and batch.frames.dtype == torch.uint8
    assert batch.intrinsics.shape == (3, 3, 3) and batch.intrinsics.dtype == torch.float32
    assert batch.stereo_from_target.shape == (3, 4, 4)
    assert batch.flip.dtype == torch.bool and batch.jitter.shape == (3, 4) and batch.jitter.dtype == torch.float32
    draws = [draw_augmentation(4, 1, i) for i in range(3)]
    assert batch.flip.tolist() == [flip for flip, _ in draws]
    assert torch.allclose(batch.jitter, torch.tensor([jitter for _, jitter in draws]))
    assert batch.offsets == (-1, 1) and batch.names[2] == f"{DRIVE} 3 l"


def test_draws_are_those_of_a_generator_made_for_the_sample():
    for seed, epoch, index in [(0, 0, 0), (1, 2, 3), (2**63, 5, 40_000), (1, 2, 3)]:
        draws = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, index])).random(6)
        flip, jitter = draw_augmentation(seed, epoch, index)
        assert flip == (draws[0] < 0.5)
        assert jitter == (NO_JITTER if draws[1] >= 0.5 else (*(0.8 + 0.4 * draws[2:5]), -0.1 + 0.2 * draws[5]))


def test_draws_depend_on_seed_epoch_and_index_alone():
    assert draw_augmentation(1, 2, 3) == draw_augmentation(1, 2, 3)
    keys = [(s, e, i) for s in range(10) for e in range(10) for i in range(10)]
    jitters = [draw_augmentation(*key)[1] for key in keys]
    drawn = [j for j in jitters if j != NO_JITTER]
    assert len(set(drawn)) == len(drawn)


def test_draws_have_the_documented_ranges():
    draws = [draw_augmentation(0, 0, i) for i in range(4000)]
    assert abs(np.mean([flip for flip, _ in draws]) - 0.5) < 0.03
    jitter = np.array([j for _, j in draws if j != NO_JITTER])
    assert abs(len(jitter) / 4000 - 0.5) < 0.03
    assert np.allclose(jitter.min(0), (0.8, 0.8, 0.8, -0.1), atol=0.002)
    assert np.allclose(jitter.max(0), (1.2, 1.2, 1.2, 0.1), atol=0.002)
    assert np.allclose(jitter.mean(0), (1, 1, 1, 0), atol=0.02)
    assert np.abs(np.corrcoef(jitter.T) - np.eye(4)).max() < 0.08


def test_images_of_another_size_than_their_calibration_are_refused(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(3), "l"))
    Image.fromarray(picture(0, 39, 24)).save(source.image_path(refs(1)[0]))
    with pytest.raises(UserError, match="0000000001.png has 39x24 pixels, its calibration is for 40x24"):
        FrameDataset(source, refs(1), 12, 20)[0]


def test_a_missing_neighbour_is_named(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(3), "l"))
    with pytest.raises(UserError, match="0000000003.png"):
        FrameDataset(source, refs(2), 12, 20)[0]
    with pytest.raises(ValueError, match="offset 0"):
        FrameDataset(source, refs(2), 12, 20, offsets=(0, 1))


def test_evaluation_samples(tmp_path):
    source = KittiRaw(write_raw(tmp_path, range(2), "l"))

    def truth(ref):
        return DepthPixels.of(np.full((2, 3), ref.frame, np.float32))

    dataset = EvalDataset(source, refs(0, 1), HEIGHT, WIDTH, truth)
    batch = [dataset[i] for i in range(len(dataset))]
    assert torch.equal(batch[1].image, chw(picture(1)))
    assert batch[1].truth.dense().tolist() == [[1, 1, 1]] * 2 and batch[1].name == f"{DRIVE} 1 l"
