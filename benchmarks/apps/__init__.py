"""The same no-op task with its result, in each library. Each module is client and worker in one.

`python -m benchmarks.apps.NAME PORT COUNT` submits one task to see that the worker is there, then times COUNT
of them from the first submission to the last result, and prints the seconds.
"""
