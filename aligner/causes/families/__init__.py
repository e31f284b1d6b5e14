"""One file for each family of causes; a class with an id in any of them takes part."""
