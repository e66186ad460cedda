"""The worker of the interoperability tests, with the `gearman` tool: tool_worker.py HOST PORT PREFIX.

What each function does is written in __init__.py beside this file. The tool runs one command for all
functions that it announces, so there is a process of it for each; this one starts them and waits for them.
"""

import os
import signal
import subprocess
import sys

from tests.harness.processes import DIES_WITH_PARENT

COMMANDS = {
    "reverse": ["perl", "-0777", "-ne", "print scalar reverse"],
    "fail": ["false"],
    "chunks": ["cat"],  # with -n each line that the command prints is sent as data
    "gate": [
        "sh",
        "-c",
        'read -r path name; echo "$name" >>"$path.log";'
        ' while [ ! -e "$path.open" ] && kill -0 $PPID; do sleep 0.01; done; printf done',
    ],
    # The shell is a child of the tool.
    "die": [
        "sh",
        "-c",
        'path=$(cat); if (set -C; : >"$path") 2>&-; then kill -9 $PPID; else printf survived; fi',
    ],
}


def main(host: str, port: str, prefix: str) -> int:
    tools = [
        subprocess.Popen(
            [*DIES_WITH_PARENT, "gearman", "-h", host, "-p", port, "-w", "-f", prefix + name]
            + (["-n"] if name == "chunks" else [])
            + ["--", *command]
        )
        for name, command in COMMANDS.items()
    ]
    # The tests kill this process with its group. When one of its tools dies, the worker is dead.
    pid, status = os.wait()
    for tool in tools:
        if tool.pid != pid:
            tool.kill()
    return -signal.SIGKILL if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


sys.exit(main(*sys.argv[1:]))
