"""``python -m tardif``."""

from tardif.cli import main

main()
