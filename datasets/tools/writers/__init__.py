"""Manifests made from other layouts: a file a layout, and the table that names them."""

from depth.support.parts import Parts

WRITERS: Parts = {
    "images": "datasets.tools.writers.images:lines",
    "tum": "datasets.tools.writers.tum:lines",
    "euroc": "datasets.tools.writers.euroc:lines",
    "kitti_odometry": "datasets.tools.writers.kitti_odometry:lines",
    "cityscapes": "datasets.tools.writers.cityscapes:lines",
    "nuscenes": "datasets.tools.writers.nuscenes:lines",
    "ddad": "datasets.tools.writers.ddad:lines",
}
