"""The server is killed with SIGKILL under load, again and again; nothing acknowledged may be missing."""
