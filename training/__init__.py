"""How the network that ships with provoice was made: `python -m training` makes it again."""
