"""Clusters for tests, demo and benchmarks: machines in namespaces (or on loopback), PostgreSQL, agents, faults.

One rule: whatever this package starts belongs to a Cluster, and Cluster.destroy() leaves nothing of it behind.
"""

from .base import Failure, REPO, wait_for
from .cluster import Cluster
from .scenario import scenario
from .writer import Writer

__all__ = ["Cluster", "Failure", "REPO", "Writer", "scenario", "wait_for"]
