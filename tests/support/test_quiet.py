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
    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(OSError), quiet_opencv():
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT
        raise OSError
    assert cv2.utils.logging.getLogLevel() == before
