"""Server monitoring: ask a job server for its functions, as a monitoring plugin does, and warn of a queue.

The text protocol needs no library: a line goes out, lines come back, the last one is a dot.
"""

import os
import socket
import sys

from geartrain.wire.address import parse_address
from geartrain.wire.text import parse_status

server = parse_address(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730"))
most = int(sys.argv[1]) if len(sys.argv) > 1 else 100

with socket.create_connection((server.host, server.port), 5) as connection:
    connection.sendall(b"status\n")
    lines = iter(connection.makefile("rb").readline, b".\n")
    functions = parse_status(line.rstrip(b"\n") for line in lines)

for row in functions:
    print(f"{row.function}: {row.queued} queued, {row.running} running, {row.workers} workers")
crowded = [row.function for row in functions if row.queued > most]
if crowded:
    sys.exit(f"more than {most} jobs wait: {', '.join(crowded)}")
