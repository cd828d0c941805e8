"""In what order it runs, and on what: configuration, planning, the unit worker and the engines."""
