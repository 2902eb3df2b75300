"""Schedules of faults: small text files, run on a cluster of real servers under load, with a judge at the end."""

from .language import BadSchedule, Schedule, parse, read, read_all
from .run import Run, run_schedule

__all__ = ["BadSchedule", "Run", "Schedule", "parse", "read", "read_all", "run_schedule"]
