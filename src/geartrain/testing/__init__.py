"""For the tests of programs that use Geartrain: a real server in the process, or no server at all.

def test_a_thumbnail_is_made(gearman_server):           # a fixture of the pytest plugin
    gearman_server.work(tasks.worker)
    with Client(gearman_server.address) as client:
        assert client.function(tasks.thumbnail)("cat.jpg") == "cat-small.jpg"

def test_a_mail_is_sent_later():
    client = EagerClient()                               # records, and runs what workers are given it
    signup(client, "ada@example.org")
    assert client.calls(tasks.send_mail) == [{"to": "ada@example.org"}]
"""

from .eager import AsyncEagerClient, EagerClient
from .local import SubmittedJob
from .server import LocalServer

__all__ = ["AsyncEagerClient", "EagerClient", "LocalServer", "SubmittedJob"]
