"""The harness itself, where a mistake would let other tests pass."""

import pytest

from harness.base import Failure, never


def dead():
    raise ConnectionError("nobody is there")


def test_what_must_not_be():
    """It is asked to the end; and a server that cannot be asked is not one where all is well."""
    asked = []
    never(lambda: asked.append(1), 0.3, "it")
    assert len(asked) > 1
    with pytest.raises(Failure, match="must not be: it"):
        never(lambda: asked.append(1) or len(asked) > 2, 20, "it")
    with pytest.raises(ConnectionError):
        never(dead, 0.3, "it")
