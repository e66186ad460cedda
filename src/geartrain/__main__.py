"""`python -m geartrain` is the `geartrain` command."""

from .cli import main

if __name__ == "__main__":
    main()
