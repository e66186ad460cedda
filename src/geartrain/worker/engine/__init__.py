"""The protocol of one connection, without I/O, and parts that both shells share."""
