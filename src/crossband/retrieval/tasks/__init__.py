"""The tasks that descriptors are trained by, one file each."""
