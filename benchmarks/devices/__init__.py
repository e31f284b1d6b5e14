"""Dumps of simulated devices against models that ran there: names, layouts, precisions and gaps from seeds."""
