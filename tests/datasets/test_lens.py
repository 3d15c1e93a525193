"""Bent pictures are straightened: the maps against the models' formulas, the embedded world's frames, depth, masks."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.core.cache import open_cache
from datasets.core.frames import read_view
from datasets.core.intrinsics import camera_of
from datasets.core.splits import FrameRef
from datasets.manifest.source import Manifest
from datasets.world.making import WorldSpec, ensure_world
from depth.types import DepthPixels, UserError
from tests.manifest_maker import write

WIDTH, HEIGHT = 320, 96
PINHOLE = {"fx": 180.0, "fy": 182.0, "cx": 158.0, "cy": 49.0, "width": WIDTH, "height": HEIGHT}
BARREL = PINHOLE | {"distortion": [-0.28, 0.07, 0.001, -0.002, -0.005]}
FISHEYE = PINHOLE | {"model": "fisheye", "distortion": [0.05, -0.01, 0.003, -0.001]}


def bend(x, y, camera):
    """Where a direction (x, y, 1) lies in the bent picture, by the formulas of OpenCV's documentation."""
    k = camera["distortion"]
    if camera.get("model") == "fisheye":
        r = np.hypot(x, y)
        angle = np.arctan(r)
        bent = angle * (1 + sum(k[i] * angle ** (2 * i + 2) for i in range(4)))
        scale = np.where(r > 0, bent / np.maximum(r, 1e-12), 1)
        x, y = x * scale, y * scale
    else:
        r2 = x * x + y * y
        radial = 1 + k[0] * r2 + k[1] * r2**2 + k[4] * r2**3
        x, y = (
            x * radial + 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x),
            y * radial + k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y,
        )
    return camera["fx"] * x + camera["cx"], camera["fy"] * y + camera["cy"]


def directions(matrix):
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return (columns - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1]


def bent_by_search(picture, matrix, camera):
    """The picture that the bending lens would take of what a pinhole camera took: the formulas are turned round."""
    columns, rows = np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT, dtype=float))
    x, y = (columns - camera["cx"]) / camera["fx"], (rows - camera["cy"]) / camera["fy"]
    for _ in range(60):
        u, v = bend(x, y, camera)
        x, y = x - (u - columns) / camera["fx"], y - (v - rows) / camera["fy"]
    places = matrix[0, 0] * x + matrix[0, 2], matrix[1, 1] * y + matrix[1, 2]
    return cv2.remap(picture, *(p.astype(np.float32) for p in places), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("camera", [BARREL, FISHEYE])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_straight_pixels_are_looked_up_where_the_formula_says(camera, alpha):
    lens = camera_of(camera | {"alpha": alpha}, "x").lens
    u, v = bend(*directions(lens.matrix), camera)
    columns, rows = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    found = [lens.straighten_pixels(each) for each in (columns, rows)]
    inside = (u > 0) & (u < WIDTH - 1) & (v > 0) & (v < HEIGHT - 1)
    assert inside.mean() > 0.5
    for each, expected in zip(found, (u, v), strict=True):
        assert np.abs(each - expected)[inside].max() < 0.05  # cv2.remap counts in 1/32 of a pixel
    if alpha == 0:
        assert lens.seen().mean() > 0.99


@pytest.fixture(scope="module")
def world_frame(tmp_path_factory):
    spec = WorldSpec(height=HEIGHT, width=WIDTH, train_drives=1, val_drives=1, test_drives=1, frames_per_drive=3)
    root = ensure_world(tmp_path_factory.mktemp("world"), spec)
    return cv2.imread(str(next(root.glob("*/*/image_02/data/*.png"))))[..., ::-1]


@pytest.mark.parametrize("camera", [BARREL, FISHEYE])
def test_the_worlds_frames_are_straight_again_within_half_a_pixel(world_frame, camera, tmp_path):
    """Bent, written, read through a manifest: shifted against the true picture by less than 0.5 px in any window."""
    matrix = np.array([[180.0, 0, 158.0], [0, 182.0, 49.0], [0, 0, 1]])
    bent = bent_by_search(np.ascontiguousarray(world_frame), matrix, camera)
    Image.fromarray(bent).save(tmp_path / "bent.png")
    line = {"image": "bent.png", "sequence": "s", "order": 0, "camera": "c"}
    source = Manifest(write(tmp_path / "m.jsonl", [line], {"manifest": 1, "cameras": {"c": camera}}))
    image, found = read_view(source, FrameRef("s", 0, "l"))
    straight = image.permute(1, 2, 0).numpy()
    # What the straight camera would have taken: the true picture under the change from its K.
    true = cv2.warpPerspective(
        np.ascontiguousarray(world_frame), found @ np.linalg.inv(matrix), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
    )
    shifts = {"straight": [], "bent": []}
    grey = {name: cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for name, each in
            {"straight": straight, "bent": bent, "true": true}.items()}  # fmt: skip
    for top in (8, 40):
        for left in range(16, WIDTH - 80, 48):
            window = np.s_[top : top + 48, left : left + 64]
            if grey["true"][window].std() < 12:
                continue
            hann = cv2.createHanningWindow((64, 48), cv2.CV_32F)
            for name in shifts:
                (x, y), _ = cv2.phaseCorrelate(grey["true"][window], grey[name][window], hann)
                shifts[name].append(np.hypot(x, y))
    assert len(shifts["straight"]) >= 4 and max(shifts["straight"]) < 0.5 < max(shifts["bent"])


def test_depth_goes_where_its_pixel_goes_and_masks_follow(tmp_path):
    lens = camera_of(BARREL | {"alpha": 1}, "x").lens
    u, v = bend(*directions(lens.matrix), BARREL)
    row, column = 20, 250
    place = round(float(v[row, column])), round(float(u[row, column]))
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    depth[place] = 7.5
    straight = lens.straighten_depth(DepthPixels.of(depth))
    assert straight.depth.tolist() == [7.5]
    assert abs(int(straight.rows[0]) - row) <= 1 and abs(int(straight.columns[0]) - column) <= 1
    assert lens.straighten_depth(DepthPixels.of(np.zeros((HEIGHT, WIDTH)))).depth.size == 0

    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 200, np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[80:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    lines = [{"image": "a.png", "sequence": "s", "order": n, "camera": "c"} for n in range(2)]
    lines[1]["mask"] = "mask.png"
    source = Manifest(write(tmp_path / "m.jsonl", lines, {"manifest": 1, "cameras": {"c": BARREL | {"alpha": 1}}}))
    unseen, masked = (source.counted(FrameRef("s", n, "l")) for n in range(2))
    assert np.array_equal(unseen, lens.seen()) and 0.5 < unseen.mean() < 1
    u, v = bend(*directions(source.intrinsics(FrameRef("s", 1, "l"))[0]), BARREL)
    assert not masked[v > 80.6].any() and masked[(v > 1) & (v < 79) & (u > 1) & (u < WIDTH - 2)].all()


def test_lens_of_resized_pictures():
    """At half the size the same direction lies at the resized place."""
    camera = camera_of(BARREL, "x")
    half = camera.lens_for(WIDTH // 2, HEIGHT // 2)
    assert np.allclose(half.matrix, camera.scaled_to(WIDTH // 2, HEIGHT // 2))
    columns = np.tile(np.arange(WIDTH // 2, dtype=np.float32), (HEIGHT // 2, 1))
    u, _ = bend((columns - half.matrix[0, 2]) / half.matrix[0, 0],
                (np.arange(HEIGHT // 2)[:, None] - half.matrix[1, 2]) / half.matrix[1, 1], BARREL)  # fmt: skip
    inside = (u > 2) & (u < WIDTH - 3)
    assert np.abs(half.straighten_pixels(columns) - ((u + 0.5) / 2 - 0.5))[inside].max() < 0.05


def test_cache_knows_the_lens(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "a.png")
    line = {"image": "a.png", "sequence": "s", "order": 0, "camera": "c"}
    ref, caches = FrameRef("s", 0, "l"), []
    for number, camera in enumerate((PINHOLE, BARREL, BARREL | {"alpha": 0.5})):
        source = Manifest(write(tmp_path / f"{number}.jsonl", [line], {"manifest": 1, "cameras": {"c": camera}}))
        caches.append(open_cache(tmp_path / "cache", source, [ref], 64, 160, workers=0, progress=False))
    assert len({cache.path for cache in caches}) == 3
    assert not torch.equal(caches[0][ref], caches[1][ref])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"distortion": [0.1, 0.2]}, '"distortion" is a list of 4 or 5 or 8 or 12 or 14 numbers'),
        ({"distortion": [0.1, 0.2, float("nan"), 0]}, '"distortion" is a list'),
        ({"distortion": "none"}, '"distortion" is a list'),
        ({"model": "fisheye"}, "a fisheye camera has"),
        ({"model": "omni"}, '"model" is one of pinhole, fisheye'),
        ({"distortion": [-0.2, 0, 0, 0], "alpha": 2}, '"alpha" is a number from 0 to 1'),
        (
            {"distortion": [9000, -9000, 9000, 9000]},
            "folds the picture: are the coefficients k1 k2 p1 p2 k3 of OpenCV's",
        ),
        ({"model": "fisheye", "distortion": [9000, -9000, 9000, 9000]}, "k1 k2 k3 k4 of OpenCV's fisheye model"),
        ({"k1": 0.1}, "unknown entry 'k1'"),
    ],
)
def test_what_is_wrong_with_a_lens(change, said):
    with pytest.raises(UserError, match="camera.json: ") as raised:
        camera_of(PINHOLE | change, "camera.json")
    assert said in str(raised.value)
    json.dumps(str(raised.value))
