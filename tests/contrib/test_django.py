"""A Django project with workers of its own: made, started and used as its author would."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

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
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
""",
    "urls.py": """
from django.urls import path
from photos import views
urlpatterns = [path("enlarge/<int:photo>", views.enlarge)]
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
    "use.py": """
import os, time, django
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()
from django.test import Client
from geartrain.contrib.django import client
from photos.gearman import resize
from photos.models import Photo
photo = Photo.objects.create(name="cat")
assert client().function(resize)(photo.pk, 320) == 1
photo.refresh_from_db()
print("resized to", photo.width, flush=True)
answer = Client().get(f"/enlarge/{photo.pk}")
assert answer.content == b"it will be larger soon", answer
while photo.width != 640:
    time.sleep(0.01)
    photo.refresh_from_db()
print("resized to", photo.width)
client().close()
""",
}
DOCUMENTED: Final = dict(
    re.findall(
        r"^```python\n# ([\w/]+\.py)\n(.*?)^```",
        (Path(__file__).parents[2] / "docs" / "integrations.md").read_text().partition("## Django")[2],
        re.DOTALL | re.MULTILINE,
    )
)
"""What docs/integrations.md says to write, file by file; the rest is what any project has."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert sorted(DOCUMENTED) == ["photos/gearman.py", "photos/views.py", "settings.py"]
    for name, text in FILES.items() | DOCUMENTED.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as writer:
            writer.write(text.replace('"127.0.0.1:4730"', 'os.environ["GEARMAN"]'))
    settings = tmp_path / "settings.py"
    settings.write_text("import os\n" + settings.read_text())
    return tmp_path


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_project_s_functions_are_done_by_its_manage_command(project: Path) -> None:
    with RunningServer() as server:
        env = {"GEARMAN": f"127.0.0.1:{server.port}"}
        with Process(sys.executable, "manage.py", "migrate", cwd=project, env=env) as migrate:
            assert migrate.wait(60) == 0
        command = [sys.executable, "manage.py", "gearman_worker", "--processes", "2", "--threads", "2"]
        with Process(*command, cwd=project, env=env) as work:
            for _ in range(2):
                with Process(sys.executable, "use.py", cwd=project, env=env) as use:
                    assert use.wait(60) == 0
                    assert use.stdout == "resized to 320\nresized to 640\n"
                for pid in children(work.pid):
                    os.kill(pid, signal.SIGKILL)
            work.wait_until(lambda: len(children(work.pid)) == 2, "there are new ones", 30)
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
    (project / "urls.py").write_text("urlpatterns = []")
    env = {"GEARMAN": "127.0.0.1:1"}
    with Process(sys.executable, "manage.py", "gearman_worker", cwd=project, env=env) as work:
        assert work.wait(60) == 1
        assert "no application has a gearman.py" in work.stderr
