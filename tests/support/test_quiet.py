"""What is not printed, and that it is printed again afterwards."""

import logging

import cv2
import pytest

from depth.support.quiet import quiet_loggers, quiet_opencv


def test_loggers_are_silent_inside_alone(caplog):
    with pytest.raises(OSError), quiet_loggers():
        logging.getLogger("hub").critical("a retry")
        raise OSError
    logging.getLogger("hub").critical("after")
    assert [record.message for record in caplog.records] == ["after"]


def test_opencv_gets_its_level_back():
    levels = cv2 if hasattr(cv2, "getLogLevel") else cv2.utils.logging  # OpenCV 4, OpenCV 5
    before = levels.getLogLevel()
    with pytest.raises(OSError), quiet_opencv():
        assert levels.getLogLevel() == 0 != before  # "silent"
        raise OSError
    assert levels.getLogLevel() == before
