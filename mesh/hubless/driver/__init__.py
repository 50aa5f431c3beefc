"""Running a node: sockets, workers, disk and signals around the core. All of it is shell."""

from hubless.driver.launch import JoinError, Ready, serve
from hubless.driver.loop import LogLine

__all__ = ["JoinError", "LogLine", "Ready", "serve"]
