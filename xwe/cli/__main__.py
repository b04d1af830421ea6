"""`python -m xwe.cli`."""

from xwe.cli import main

main()
