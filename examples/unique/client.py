"""Two clients that want the same thing at the same time: the worker does it once, both get it."""

import os

from geartrain import Client

servers = os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")

with Client(servers) as first, Client(servers) as second:
    one = first.submit("render_front_page", "News", unique="front-page")
    other = second.submit("render_front_page", "News", unique="front-page")
    print(one.result().decode())
    print(other.result().decode())
    print("one job" if one.handle == other.handle else "two jobs")
