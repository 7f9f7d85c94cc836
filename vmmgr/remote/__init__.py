"""Reach the machines of a site over SSH: one connection per host, one exec for everything a host has to do next."""

from __future__ import annotations

from vmmgr.remote.batch import Line, Result
from vmmgr.remote.host import BatchLostError
from vmmgr.remote.pool import Remote
from vmmgr.remote.target import AgentCommands, Settings, Target, Way

__all__ = ["AgentCommands", "BatchLostError", "Line", "Remote", "Result", "Settings", "Target", "Way"]
