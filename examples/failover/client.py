"""A client with two job servers. Stop the first while it runs, even with kill -9: no job is lost."""

import os
import sys
import time

from geartrain import Client

servers = os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730,127.0.0.1:4731").split(",")
jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100

with Client(servers) as client:
    for number in range(jobs):
        print(f"2 x {number} = {client.run('double', str(number)).decode()}", flush=True)
        time.sleep(0.05)
