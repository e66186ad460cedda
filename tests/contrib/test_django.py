"""A Django project with workers of its own: made, started and used as its author would."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

from geartrain import Client
from tests.harness.processes import Process
from tests.server.running import RunningServer

FILES: Final = {
    "manage.py": """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "settings.py": """
import os
SECRET_KEY = "not one"
USE_TZ = True
INSTALLED_APPS = ["geartrain.contrib.django", "photos"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
GEARTRAIN = {"SERVERS": [os.environ["GEARMAN"]], "PREFIX": "shop", "TIMEOUT": 20}
""",
    "photos/__init__.py": "",
    "photos/models.py": """
from django.db import models
class Photo(models.Model):
    name = models.CharField(max_length=100)
    width = models.IntegerField(default=0)
""",
    "photos/migrations/__init__.py": "",
    "photos/migrations/0001_initial.py": """
from django.db import migrations, models
class Migration(migrations.Migration):
    initial = True
    operations = [migrations.CreateModel("Photo", [
        ("id", models.BigAutoField(primary_key=True, serialize=False)),
        ("name", models.CharField(max_length=100)), ("width", models.IntegerField(default=0))])]
""",
    "photos/gearman.py": """
import os
from geartrain.contrib.django import worker
from photos.models import Photo

@worker.function
def resize(photo: int, width: int) -> str:
    Photo.objects.filter(pk=photo).update(width=width)
    return str(os.getpid())
""",
    "use.py": """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from geartrain.contrib.django import client
from photos.gearman import resize
from photos.models import Photo
photo = Photo.objects.create(name="cat")
pid = client().function(resize)(photo.pk, 640)
photo.refresh_from_db()
print("resized to", photo.width, "by", pid)
client().close()
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_project_s_functions_are_done_by_its_manage_command(project: Path) -> None:
    with RunningServer() as server:
        address = f"127.0.0.1:{server.port}"
        env = {"GEARMAN": address}
        with Process(sys.executable, "manage.py", "migrate", cwd=project, env=env) as migrate:
            assert migrate.wait(60) == 0
        command = [sys.executable, "manage.py", "gearman_worker", "--processes", "2", "--threads", "2"]
        with Process(*command, cwd=project, env=env) as work:
            pids = set()
            for _ in range(2):
                with Process(sys.executable, "use.py", cwd=project, env=env) as use:
                    assert use.wait(60) == 0
                    assert use.stdout.startswith("resized to 640 by ")
                    pids.add(int(use.stdout.split()[-1]))
                    os.kill(int(use.stdout.split()[-1]), signal.SIGKILL)
            with Client(address, prefix="shop") as client:
                assert client.run("resize", b"[1, 2]", timeout=60)
            assert work.pid not in pids
            work.signal(signal.SIGTERM)
            assert work.wait(60) == 0


def test_a_setting_that_does_not_exist_is_named(project: Path) -> None:
    settings = project / "settings.py"
    settings.write_text(settings.read_text() + "\nGEARTRAIN['SERVER'] = 'x'\n")
    env = {"GEARMAN": "127.0.0.1:1"}
    with Process(sys.executable, "manage.py", "gearman_worker", cwd=project, env=env) as work:
        assert work.wait(60) == 1
        assert "GEARTRAIN: there is no SERVER" in work.stderr


def test_a_project_without_functions_is_told_so(project: Path) -> None:
    (project / "photos/gearman.py").write_text("")
    env = {"GEARMAN": "127.0.0.1:1"}
    with Process(sys.executable, "manage.py", "gearman_worker", cwd=project, env=env) as work:
        assert work.wait(60) == 1
        assert "no application has a gearman.py" in work.stderr
