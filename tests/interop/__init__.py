"""Geartrain beside the real clients, workers and servers of other languages."""

import pytest

# So that a failure there shows what was compared, too.
pytest.register_assert_rewrite(f"{__name__}.checks", f"{__name__}.stage")
