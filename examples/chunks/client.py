"""A client that shows the pieces of a result while the worker makes the next."""

import os
import sys

from geartrain import Client

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    for chunk in client.submit("spell", sys.argv[1]).data():
        print(chunk.decode(), flush=True)
