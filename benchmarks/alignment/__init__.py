"""How much of two models is paired, how much of it rightly, and whether a fault changes who answers whom."""
