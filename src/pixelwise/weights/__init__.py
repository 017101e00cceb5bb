"""FILES -> PARAMETERS: other people's weights under our names, and our own model directories."""
