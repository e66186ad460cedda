"""A worker of OpenStack's gear."""

from __future__ import annotations

import gear

from .clock import port

worker = gear.Worker("bench")
worker.addServer("127.0.0.1", port())
worker.waitForServer()
worker.registerFunction("noop")
while True:
    worker.getJob().sendWorkComplete(b"")
