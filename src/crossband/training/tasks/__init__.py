"""The tasks the trainer knows, one file each."""
