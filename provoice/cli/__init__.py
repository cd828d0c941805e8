"""The command line. Every command's module is imported only when that command is called."""
