"""``python -m voxtrait`` is the command line."""

from voxtrait.cli import main

if __name__ == "__main__":
    main()
