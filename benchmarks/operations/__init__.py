"""How many nodes of real models have an operation, and whether its replay is what the runtime computed."""
