#!/bin/sh
# A worker that reverses texts, made of the `gearman` tool and `rev`.
#
#     GEARMAN_SERVERS=host:port sh worker.sh [JOBS]
#
# It ends after JOBS jobs, or never when the number is left out.
server=${GEARMAN_SERVERS:-127.0.0.1:4730}

# Each job runs the command: the workload is its stdin, its stdout is the result, and a status
# other than zero makes the job fail.
exec gearman -h "${server%:*}" -p "${server##*:}" -w -f reverse ${1:+-c "$1"} -- rev
