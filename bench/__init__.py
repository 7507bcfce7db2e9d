"""How fast the project is. Run by hand: `python -m bench`."""
