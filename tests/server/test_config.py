"""The configuration: one model behind file, environment and command line, and errors that say where."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from geartrain.errors import ConfigError
from geartrain.server import ServerOptions
from geartrain.server.config import line_of, load
from geartrain.units import parse_size
from tests.harness.processes import Process, accepts, free_port

from .configuration_page import PATH, page


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A path for a configuration file."""
    return tmp_path / "geartrain.toml"


def test_nothing_set_is_the_defaults() -> None:
    assert load().options() == ServerOptions()


def test_a_file_sets_values_in_units(write: Path) -> None:
    write.write_text(
        'listen = ["0.0.0.0", "unix:/run/g.sock"]\nround_robin = true\n'
        '[limits]\npacket = "16 MiB"\njobs = 5\n[timeouts]\nidle = "5m"\n[tls]\ncertificate = "c.pem"\n'
    )
    options = load(str(write)).options()
    assert options.listen == ("0.0.0.0", "unix:/run/g.sock")
    assert options.round_robin is True
    assert options.limits.packet == 16 * 1024 * 1024
    assert options.limits.jobs == 5
    assert options.timeouts.idle == 300.0
    assert options.tls.certificate == "c.pem"


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(write: Path) -> None:
    write.write_text("port = 1\nbacklog = 1\n[limits]\njobs = 1\n")
    environment = {
        "GEARTRAIN_PORT": "2",
        "GEARTRAIN_BACKLOG": "2",
        "GEARTRAIN_LISTEN": "127.0.0.1, 127.0.0.2",
        "GEARTRAIN_ROUND_ROBIN": "true",
        "GEARTRAIN_SOMETHING": "else",
    }
    options = load(str(write), environment, {"port": 3}).options()
    assert (options.port, options.backlog, options.limits.jobs) == (3, 2, 1)
    assert options.listen == ("127.0.0.1", "127.0.0.2")
    assert options.round_robin is True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\nprt = 1", ":2: prt is no setting; did you mean port?"),
        ("[limits]\n\npackt = 1", ":3: limits.packt is no setting; did you mean limits.packet?"),
        ("[limit]\nx = 1", ":1: limit is no setting; did you mean limits?"),
        ("packet = 1", ":1: packet is no setting; did you mean limits.packet?"),
        ('port = "x"', ":1: port: Expected `int`, got `str`"),
        ('listen = ["a"]\nlisten = 1', "Cannot overwrite a value"),
        ("listen = 1", ":1: listen: Expected `array`, got `int`"),
        ("limits = 1", ":1: limits is a table, not a value"),
        ('[limits]\npacket = "many"', ":2: limits.packet: expected a size such as '64 MiB', got 'many'"),
        (
            '[timeouts]\nidle = "soon"',
            ":2: timeouts.idle: expected a time such as '30s' or '10m', got 'soon'",
        ),
        ("limits.jobs = -1", ":1: limits.jobs: expected a number from 0 on, got -1"),
        (
            '[functions.report]\nmax_attempts = 3\ntimeout = "30x"',
            ":3: functions.report.timeout: expected a time such as '30s' or '10m', got '30x'",
        ),
        ("[functions]\nf = {rate = 1, foo = 2}", ":2: functions.f.foo: 'foo' is no setting of a function"),
        ("\n[functions]\nf = 3", ":2: functions: Expected `table`, got `int`"),
        (
            'port = 0\n[schedules.nightly]\ncron = "99 * * * *"\nfunction = "f"',
            ":2: schedules.nightly: '99 * * * *': bad minute",
        ),
        ("nonsense", "Expected '=' after a key"),
    ],
)
def test_an_error_names_the_key_and_the_line(write: Path, text: str, told: str) -> None:
    write.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(write))
    assert str(caught.value).startswith(str(write))
    assert told in str(caught.value)


def test_an_error_names_the_variable_or_the_flag() -> None:
    with pytest.raises(ConfigError, match=r"GEARTRAIN_LIMITS_JOBS: limits\.jobs: "):
        load(None, {"GEARTRAIN_LIMITS_JOBS": "many"})
    with pytest.raises(ConfigError, match=r"^--set limits\.jobs: Expected"):
        load(None, {}, {"limits.jobs": "many"})


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere/g.toml can't be read"):
        load("/nowhere/g.toml")
    with pytest.raises(ConfigError, match=r"^/nowhere/g.toml can't be read: No such file or directory$"):
        load("/nowhere/g.toml")


def test_what_is_printed_reads_as_the_same_options(write: Path) -> None:
    settings = load(None, {"GEARTRAIN_LIMITS_PACKET": "3000"}, {"listen": ["::1"], "timeouts.idle": "1.5s"})
    printed = settings.print()
    assert "packet = 3000  # GEARTRAIN_LIMITS_PACKET" in printed
    assert 'idle = "1.5s"  # --set timeouts.idle' in printed
    write.write_text(printed)
    assert load(str(write)).options() == settings.options()


@pytest.mark.parametrize(
    ("text", "bytes"),
    [(5, 5), ("5", 5), ("1k", 1024), ("1 KiB", 1024), ("1kB", 1000), ("1.5 MiB", 1572864), ("2G", 2 << 30)],
)
def test_sizes_have_units(text: object, bytes: int) -> None:
    assert parse_size(text) == bytes


def test_a_line_is_found_in_every_form_of_toml() -> None:
    text = "a = 1\n[t]\n# b = 0\nb = 2\n[ 'u' ]\n'c' = 3\nd.e = 4\n[u.f]\ng = 5\n"
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("t", "b")) == 4
    assert line_of(text, ("u", "c")) == 6
    assert line_of(text, ("u", "d", "e")) == 7
    assert line_of(text, ("u", "f", "g")) == 9


def test_the_page_about_the_configuration_is_what_the_options_say() -> None:
    assert PATH.read_text(encoding="utf-8") == page(), "python -m tests.server.configuration_page"


KUBERNETES = {
    "GEARTRAIN_PORT": "tcp://10.0.0.1:4730",
    "GEARTRAIN_PORT_4730_TCP": "tcp://10.0.0.1:4730",
    "GEARTRAIN_SERVICE_HOST": "10.0.0.1",
    "GEARTRAIN_SERVICE_PORT": "4730",
}
"""Variables that Kubernetes sets in each container for a Service named geartrain."""


def test_variables_of_a_kubernetes_service_are_ignored_and_named() -> None:
    settings = load(None, KUBERNETES | {"GEARTRAIN_BACKLOG": "7"})
    assert (settings.options().port, settings.options().backlog) == (4730, 7)
    assert set(settings.ignored) == set(KUBERNETES)
    assert load(None, {"GEARTRAIN_PORT": "4731"}).options().port == 4731


def test_an_explicit_flag_goes_before_a_broken_variable() -> None:
    broken = {"GEARTRAIN_PORT": "nonsense", "GEARTRAIN_LIMITS_PACKET": "many"}
    options = load(None, broken, {"port": 4731, "limits.packet": "1MiB"}).options()
    assert (options.port, options.limits.packet) == (4731, 1 << 20)
    with pytest.raises(ConfigError, match="GEARTRAIN_PORT"):
        load(None, broken, {"limits.packet": "1MiB"})


def test_a_server_beside_a_kubernetes_service_of_its_name_starts_and_says_what_it_ignored() -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "geartrain",
        "serve",
        "--listen",
        f"127.0.0.1:{port}",
        "--journal",
        "memory",
    ]
    with Process(*command, env=KUBERNETES) as server:
        server.wait_until(lambda: accepts("127.0.0.1", port), "it listens")
        server.wait_for_output("variables of a Kubernetes Service are ignored")
