"""What holds for every test."""

from __future__ import annotations

import signal

# A shell starts a command with `&` or `nohup` so that it ignores these, and its children inherit that: then a
# test could not send them.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)
