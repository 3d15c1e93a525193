import os

# FFmpeg takes its log level from the first video of a process, and the tests write theirs before they read one.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
