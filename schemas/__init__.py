"""What things are: value objects, Arrow schemas and the error tree. No I/O, no torch."""
