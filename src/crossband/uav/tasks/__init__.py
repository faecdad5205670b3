"""The tasks that the UAV pipeline's networks are trained by, one file each."""
