"""What people touch: the command line, SQL, reports and the demo."""
