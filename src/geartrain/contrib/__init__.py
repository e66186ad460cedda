"""Geartrain beside other libraries. Each module needs what it is named after, and nothing else imports it."""
