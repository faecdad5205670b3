"""What people look at: plots, strips of pictures, and the HTML report."""
