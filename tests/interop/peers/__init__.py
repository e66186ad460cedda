"""The programs that the interoperability tests run: a client and a worker for each library.

All of them keep the same contract, so that any client can be paired with any worker.

A worker is started as `WORKER HOST PORT PREFIX`, announces the functions below, each with the prefix before
its name, and works until it is killed.

- `reverse`: the workload, reversed.
- `fail`: the job fails.
- `raise`: the job ends with an exception; its text is the workload.
- `chunks`: sends each line of the workload as data, then answers `done`.
- `warn`: sends the workload as a warning, then answers `done`.
- `gate`: the workload is `PATH NAME`. Adds the line NAME to the file `PATH.log`, waits until there is a file
  `PATH.open` and answers `done`. So a test sees what runs, in which order, and says how long.
- `progress`: like `gate`, with the status 1/2 before it and 2/2 after it.
- `die`: the workload is a path. If there is no such file, makes it and dies on the spot by SIGKILL; else
  answers `survived`.

A client is started as `CLIENT HOST PORT JOB...`, submits its jobs over one connection, waits for all that are
in the foreground and ends with status 0. It asks for exceptions where its library can. A JOB is these four:

- its mode: `foreground`, `high`, `low`, `background`, `high-background`, `low-background`, or `poll`: a
  background job whose status is asked for again and again until the server does not know it any more,
- its function,
- its unique, which may be empty,
- a file with its workload.

What happens to a job is printed, a line each, as it happens, after the job's number (from 0):

    0 created H:host:1
    0 status 1 2
    0 data 6162          bytes are written in hexadecimal digits
    0 warning 6162
    0 complete 6162      or: fail, or: exception 6162
    0 polled 1 1 1 2     known, running, numerator and denominator, when one of them has changed
"""
