"""Which tests are for one of the two forms only."""

from __future__ import annotations

import pytest

from geartrain.version import form

IS_COMPILED = form() == "compiled"
uncompiled = pytest.mark.skipif(IS_COMPILED, reason="what is compiled can't be replaced, nor its constants")
