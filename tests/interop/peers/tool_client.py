"""The client of the interoperability tests, with the `gearman` tool: tool_client.py HOST PORT JOB...

How a JOB is written and what is printed is told in __init__.py beside this file. The tool submits one job; it
prints status, data and result alike; data are told here as a part of the result. It does not tell handles.
"""

import re
import subprocess
import sys

OPTIONS = {
    "foreground": [],
    "high": ["-I"],
    "low": ["-L"],
    "background": ["-b"],
    "high-background": ["-b", "-I"],
    "low-background": ["-b", "-L"],
}


STATUS = rb"(\d+)% Complete\n"


def start(host: str, port: str, mode: str, function: str, unique: str, file: str) -> subprocess.Popen[bytes]:
    command = ["gearman", "-h", host, "-p", port, "-f", function, *OPTIONS[mode]]
    if unique:
        command += ["-u", unique]
    with open(file, "rb") as workload:
        return subprocess.Popen(command, stdin=workload, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def main(host: str, port: str, *words: str) -> None:
    jobs = list(zip(*[iter(words)] * 4, strict=True))
    tools = [start(host, port, *job) for job in jobs]
    for number, (job, tool) in enumerate(zip(jobs, tools, strict=True)):
        result, warning = tool.communicate()
        for percent in re.findall(STATUS, result):
            print(number, "status", percent.decode(), 100)
        if warning and not tool.returncode:
            print(number, "warning", warning.hex())
        if tool.returncode != 0:
            print(number, "fail")
        elif "background" not in job[0]:
            print(number, "complete", re.sub(STATUS, b"", result).hex())


main(*sys.argv[1:])
