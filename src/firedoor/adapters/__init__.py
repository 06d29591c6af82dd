"""One folder per kind of neighbour; folders never import each other."""
