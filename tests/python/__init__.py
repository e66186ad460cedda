"""What a Python program has of it all: typed functions, map, executors, progress; on real servers."""
