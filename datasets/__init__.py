"""Reading frames: splits, KITTI, images, ground truth, and the loader that feeds training and evaluation."""
