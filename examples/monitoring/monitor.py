"""A check for monitoring: what a job server tells about itself, and a warning when too many jobs wait."""

import os
import sys

from geartrain import Admin

servers = os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")
most = int(sys.argv[1]) if len(sys.argv) > 1 else 100
crowded = []

for server in servers:
    with Admin(server) as admin:
        for row in admin.status():
            print(f"{row.function}: {row.queued} queued, {row.running} running, {row.workers} workers")
            if row.queued > most:
                crowded.append(row.function)

if crowded:
    sys.exit(f"more than {most} jobs wait: {', '.join(crowded)}")
