"""What importing the package costs."""

import subprocess
import sys


def test_a_program_that_submits_loads_none_of_the_server() -> None:
    program = "import sys; from geartrain import Client; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert found.returncode == 0, found.stderr
    modules = set(found.stdout.split())
    assert "geartrain.client" in modules
    for room in ("server", "broker", "journal", "cli", "web"):
        assert f"geartrain.{room}" not in modules
    assert not modules & {"structlog", "msgspec", "typer", "rich", "uvloop", "sqlite3"}


def test_every_public_name_is_there_and_documented() -> None:
    import geartrain

    for name in geartrain.__all__:
        assert getattr(geartrain, name).__doc__, name
