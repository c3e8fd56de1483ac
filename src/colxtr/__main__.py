"""`python -m colxtr` is the command line."""

from colxtr.cli import main

main()
