"""A client of one environment: its jobs meet the workers with the same prefix and no others."""

import os
import sys

from geartrain import Client

servers = os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")

with Client(servers, prefix=sys.argv[1]) as client:
    print(client.run("whoami").decode())
