"""The client library, room by room: the engine without sockets, then both shells against real servers."""
