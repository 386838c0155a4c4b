from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_toys import Service, running_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the shipped model, that takes 20 MB."""
    options = ["--workers", "2", "--max-upload", "20", "--log-level", "debug"]
    with running_service(tmp_path_factory.mktemp("service"), *options) as running:
        yield running


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for recordings that tests make."""
    return tmp_path_factory.mktemp("recordings")
