"""What provoice costs and how well it measures: each benchmark is one command, prints a table, and can be compared."""
