"""``python -m metropulse``: the command line without its script."""

from metropulse.cli import main

if __name__ == "__main__":
    main()
