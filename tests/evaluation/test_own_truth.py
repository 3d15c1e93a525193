"""Ground truth of one's own beside a split, other limits and crops, and the protocols of Make3D and DDAD."""

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core.evaluated import EvalDataset
from datasets.core.sources import FrameSource
from datasets.core.splits import FrameRef
from datasets.core.truth_files import TruthFiles
from datasets.kitti.layout import KittiRaw
from depth.evaluation.protocols import CROPS, PROTOCOLS, adapted, counted_pixels
from depth.evaluation.scaling import suffix_of
from depth.options.evaluate import EvaluationOptions
from depth.types import DepthPixels, UserError
from tests.kitti_layout import DRIVE, HEIGHT, WIDTH, write_raw

REFS = [FrameRef(DRIVE, n, "l") for n in range(3)]


@pytest.fixture
def source(tmp_path):
    return KittiRaw(write_raw(tmp_path / "kitti", range(3)))


def test_a_folder_with_a_map_per_image(source, tmp_path):
    """By the image's path below the data, or by its name where no other has it; 256 for a metre in PNGs alone."""
    folder = tmp_path / "truth"
    inside = folder / DRIVE / "image_02" / "data"
    inside.mkdir(parents=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), 512, np.uint16)).save(inside / "0000000000.png")
    np.save(folder / "0000000001.npy", np.full((HEIGHT, WIDTH), 7.0))
    truth = TruthFiles(folder).open(source, REFS)
    assert [truth.has(ref) for ref in REFS] == [True, True, False]
    assert set(truth(REFS[0]).depth) == {2.0} and set(truth(REFS[1]).depth) == {7.0}
    assert set(TruthFiles(folder, 1000.0).open(source, REFS)(REFS[0]).depth) == {np.float32(0.512)}
    both = [*REFS, FrameRef(DRIVE, 1, "r")]  # its image is called 0000000001.png as well
    assert not TruthFiles(folder).open(KittiRaw(source.root), both).has(REFS[1])
    with pytest.raises(UserError, match="no depth map for"):
        truth(REFS[2])


def test_an_archive_in_the_splits_order(source, tmp_path):
    maps = np.stack([np.full((4, 5), n + 1.0) for n in range(3)])
    maps[1, 0] = np.nan
    np.savez(tmp_path / "gt_depths.npz", data=maps)
    np.save(tmp_path / "gt.npy", maps * 100)
    truth = TruthFiles(tmp_path / "gt_depths.npz").open(source, REFS)
    assert truth(REFS[2]).depth.tolist() == [3.0] * 20 and truth(REFS[1]).depth.tolist() == [2.0] * 15
    assert TruthFiles(tmp_path / "gt.npy", 100).open(source, REFS)(REFS[2]).depth.tolist() == [3.0] * 20
    with pytest.raises(UserError, match="holds 3 maps, the split has 2 images"):
        TruthFiles(tmp_path / "gt.npy").open(source, REFS[:2])


def test_a_pickle_is_refused_with_the_reason(source, tmp_path):
    maps = np.empty(3, dtype=object)
    maps[:] = [np.ones((4, 5)), np.ones((5, 5)), np.ones((6, 5))]
    np.savez(tmp_path / "gt_depths.npz", data=maps)
    with pytest.raises(UserError, match="pickled objects .maps of several sizes., which may run code and are not read"):
        TruthFiles(tmp_path / "gt_depths.npz").open(source, REFS)


@pytest.mark.parametrize(
    "content, said", [(b"", "damaged"), (b"\x93NUMPY\x01\x00", "damaged"), (None, "neither a folder")]
)
def test_odd_files(source, tmp_path, content, said):
    path = tmp_path / ("gt.npy" if content is not None else "gt.mat")
    path.write_bytes(content or b"")
    with pytest.raises(UserError, match=said):
        TruthFiles(path).open(source, REFS)


def test_limits_and_crops_are_said_and_counted():
    depth = np.tile(np.arange(1, 101, dtype=np.float32), (100, 1))
    protocol = adapted(PROTOCOLS["eigen"], min_depth=5, max_depth=60, crop="none")
    assert protocol.description == "velodyne ground truth, no crop, from 5 m"
    assert set(counted_pixels(DepthPixels.of(depth), protocol).depth) == set(range(6, 60))
    assert (protocol.min_depth, protocol.max_depth) == (5, 60)
    eigen = counted_pixels(DepthPixels.of(np.ones((375, 1242), np.float32)), adapted(PROTOCOLS["eigen"], crop="eigen"))
    assert (eigen.rows.min(), eigen.rows.max(), eigen.columns.min(), eigen.columns.max()) == (124, 341, 44, 1196)
    assert adapted(PROTOCOLS["eigen"]) == PROTOCOLS["eigen"]
    assert PROTOCOLS["eigen"].description == "velodyne ground truth, Garg crop" and len(CROPS) == 3


def test_results_have_a_folder_of_their_own():
    options = EvaluationOptions(max_depth=50.0, crop="eigen")
    assert suffix_of(options, None).endswith("_to_50m_crop_eigen")
    assert suffix_of(EvaluationOptions(gt_path="x"), None).endswith("_own_truth")


def test_make3d_looks_at_the_middle_at_two_to_one():
    """1704x2272 images with 305x55 maps: rows 17 to 37 of 55, as evaluations of Make3D have it; depths below 70 m."""

    class Tall(FrameSource):
        def ground_truth_of(self, ref):
            return DepthPixels.of(np.arange(1, 56, dtype=np.float32)[:, None] * np.ones((1, 305), np.float32))

        def image_path(self, ref):
            return None

        def intrinsics(self, ref):
            return np.eye(3), (1704 // 8, 2272 // 8)

    tall = Tall()
    rows = torch.arange(2272 // 8, dtype=torch.uint8).clamp(max=255)[None, :, None].expand(3, -1, 1704 // 8)
    import datasets.core.frames as module

    reading, module.read_image = module.read_image, lambda path: rows
    try:
        sample = EvalDataset(tall, REFS, 106, 213, tall.ground_truth_of, aspect=2.0)[0]
    finally:
        module.read_image = reading
    assert sample.truth.shape == (21, 305) and sample.truth.depth.min() == 18 and sample.truth.depth.max() == 38
    assert abs(int(sample.image[0, 0, 0]) - (284 - 106) // 2) <= 1
    assert PROTOCOLS["make3d"].depth_below == 70 and PROTOCOLS["ddad"].depth_below == 200


@pytest.mark.parametrize(
    "given, said",
    [
        ({"min_depth": 3.0, "max_depth": 2.0}, "--min_depth < --max_depth"),
        ({"gt_scale": 3.0}, "--gt_scale needs --gt_path"),
        ({"protocol": "ddad"}, "--protocol needs --dataset frames"),
    ],
)
def test_options_are_checked(given, said):
    with pytest.raises(UserError, match=said):
        EvaluationOptions(**given)
