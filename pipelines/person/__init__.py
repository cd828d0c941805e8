"""What is known of one person: what a lake holds, on which permission, and what it was used for."""
