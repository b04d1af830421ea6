"""`python -m xwe.cli`."""

from xwe.cli import main

main(prog_name="xwe")
