"""The worker library: its engine without sockets, and workers against real and scripted job servers."""
