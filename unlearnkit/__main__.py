"""``python -m unlearnkit``: the command ``unlearnkit``."""

from unlearnkit.cli import main

if __name__ == "__main__":
    main()
