"""``python -m kafsim``."""

from kafsim.cli.main import main

main()
