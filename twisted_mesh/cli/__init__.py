"""``meshctl``: what one does with a mesh from a shell.  One module for each command."""
