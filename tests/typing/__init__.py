"""What type checkers know of typed functions."""
