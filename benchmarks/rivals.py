"""The same jobs as other servers express them.

beanstalkd and Redis have queues with an acknowledgement, so they get the background modes; NATS has requests
with an answer and no queue, so it gets the foreground one.
"""

from __future__ import annotations

from typing import Any

RIVALS: dict[str, Any] = {}
