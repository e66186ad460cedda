"""The asyncio shell: many jobs at a time on one event loop."""
