"""A client that has `client.py 2 + 3` added up by whichever worker is free."""

import os
import sys

from geartrain import Client

FUNCTIONS = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "division"}

a, sign, b = " ".join(sys.argv[1:]).split()

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    print(client.run(FUNCTIONS[sign], f"{a} {b}").decode())
