"""A client that gets its greeting though the worker is told to stop meanwhile: see README."""

import os
import sys

from geartrain import Client

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    print(client.run("greet", sys.argv[1]).decode())
