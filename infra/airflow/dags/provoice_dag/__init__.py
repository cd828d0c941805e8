"""What both DAGs are made of. Nothing of provoice is imported here: tasks call its command line and nothing else."""
