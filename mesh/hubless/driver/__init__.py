"""Running a node: sockets, workers, disk and signals around the core. All of it is shell."""

from hubless.driver.joining import JoinError
from hubless.driver.launch import Ready, serve
from hubless.driver.log import LogLine

__all__ = ["JoinError", "LogLine", "Ready", "serve"]
