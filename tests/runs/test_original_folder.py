"""An original Monodepth2 folder, evaluated from files to table, against a plain reading of the protocol."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.world.making import WorldSpec, ensure_world
from depth.options.evaluate import EvaluationOptions
from evaluate_depth import evaluate
from tests.original_layout import write_original


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    spec = WorldSpec(height=96, width=320, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
    return ensure_world(tmp_path_factory.mktemp("world"), spec)


def _plain_disparity(path, encoder, decoder):
    """Pillow's Lanczos to 640x192, the nets one image at a time: scaled disparity (192,640)."""
    image = np.asarray(Image.open(path).convert("RGB").resize((640, 192), Image.LANCZOS)) / 255
    with torch.no_grad():
        maps = encoder(torch.from_numpy(image).float().permute(2, 0, 1)[None])
        return 0.01 + (10 - 0.01) * decoder(maps)[0][0, 0].numpy()


def _plain_row(disparity, truth):
    """The seven metrics of one image, median-scaled, by the formulas."""
    mask = (truth > 1e-3) & (truth < 80)
    truth, depth = truth[mask], 1 / cv2.resize(disparity, truth.shape[::-1])[mask]
    depth = np.clip(depth * np.median(truth) / np.median(depth), 1e-3, 80)
    ratio = np.maximum(truth / depth, depth / truth)
    log = np.log(truth) - np.log(depth)
    return [
        np.mean(np.abs(truth - depth) / truth),
        np.mean((truth - depth) ** 2 / truth),
        np.sqrt(np.mean((truth - depth) ** 2)),
        np.sqrt(np.mean(log**2)),
        *(np.mean(ratio < 1.25**power) for power in (1, 2, 3)),
    ]


@pytest.mark.parametrize("num_layers", [18, 50])
def test_same_disparities_and_same_table(world, tmp_path, num_layers):
    encoder, decoder, *_ = write_original(tmp_path / "mono_640x192", num_layers, 18)
    options = EvaluationOptions(
        data_path=str(world), load_weights_folder=str(tmp_path / "mono_640x192"), eval_mono=True, num_workers=0,
        device="cpu", save_pred_disps=True, batch_size=2,
    )  # fmt: skip
    report = evaluate(options)
    drive = sorted((world / "2000_01_01").glob("*_sync"))[-1]
    images = sorted((drive / "image_02" / "data").iterdir())
    expected = np.stack([_plain_disparity(path, encoder, decoder) for path in images])
    stored = np.load(tmp_path / "mono_640x192" / "disps_synthetic_split.npy", allow_pickle=False)
    # Pillow and torch round single 8-bit pixels of the resized image differently (1/255), hence not 1e-5 here;
    # test_monodepth2 holds the networks themselves to 1e-5.
    assert stored.shape == expected.shape and np.abs(stored - expected).max() < 5e-3
    truths = [
        cv2.imread(str(drive / "proj_depth" / "groundtruth" / "image_02" / path.name), cv2.IMREAD_UNCHANGED) / 256
        for path in images
    ]
    table = np.mean([_plain_row(*pair) for pair in zip(expected, truths, strict=True)], axis=0)
    assert np.abs(np.array(list(report.result.means.values())) - table).max() < 5e-4
