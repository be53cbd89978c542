"""What all tests share: none is a matter of time, so properties have no deadline; and the long ones come first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from sourcing import redactor

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    """What whoever runs the tests has set for the product stays away from them, and from the commands they start."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith(("CROSSMUSIM_", "OPENAI_"))]:
            monkeypatch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests() -> None:
    redactor._of_this_process.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Else one process would end with the longest of all while the others have nothing left to do."""
    items.sort(key=lambda item: (item.get_closest_marker("proof") is None, item.get_closest_marker("e2e") is None))
