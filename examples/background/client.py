"""A client that leaves a job behind, and looks after it now and then."""

import os
import sys
import time
from pathlib import Path

from geartrain import Client

report = Path(sys.argv[1]).absolute()

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    handle = client.background("write_report", str(report))
    # From here on the job is the server's: this program could end, and ask for the handle tomorrow.
    while (status := client.status(handle)).known:
        print(f"page {status.numerator} of {status.denominator}" if status.running else "queued")
        time.sleep(0.1)

print(f"{report.name} has {len(report.read_text().splitlines())} pages")
