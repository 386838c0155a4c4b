from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the session, for what is costly to make twice."""
    return tmp_path_factory.mktemp("workshop")
