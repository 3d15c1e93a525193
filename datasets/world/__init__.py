"""The embedded world: seeded street scenes, ray-cast and written as KITTI raw drives.

These modules import numpy and cv2 only, so that the worker processes start fast.

From drive to files: `layout` draws a street (`street`, `styles`), fills it (`objects` -> `surfaces`) and lets the
car ride; `caster` finds what every ray of a camera or a scanner meets (`bounds` says where to look), `shader` colours
it (`textures`); `sensors` makes images, depth, labels and scans of it, `writer` files.

Labels, in <drive>/semantics, at the pixel centres of camera 2:
    class_02    8 bit: the values of `surfaces.Class`; 0 is the sky, MOVING_CAR is all that moves
    instance_02 16 bit: every car and every box has a number of its own, the same in all frames of a drive; 0
                elsewhere, and on a car's shadow
    normal_02   16 bit, R, G, B = x, y, z of the unit normal in camera axes: value / 32767 - 1; black for the sky
    surface_02  16 bit: ids of flat textured surfaces, on which the true inverse depth is affine in the pixel
                coordinates; 0 elsewhere. An id means the same surface in all frames of a drive.

May import: depth/types.py, depth/support.
"""
