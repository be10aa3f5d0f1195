"""``python -m aitimelines.forecast`` is the command ``aitimelines``."""

from .cli import main

if __name__ == "__main__":
    main()
