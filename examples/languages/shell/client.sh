#!/bin/sh
# A client that has a text reversed, made of the `gearman` tool.
#
#     GEARMAN_SERVERS=host:port sh client.sh TEXT
server=${GEARMAN_SERVERS:-127.0.0.1:4730}

# The tool prints the result as it is, and a result has no line end of its own.
gearman -h "${server%:*}" -p "${server##*:}" -f reverse -- "${1:-Hello}" && echo
