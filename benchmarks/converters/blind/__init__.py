"""Pairs made by tools: networks in other libraries' styles, through converters and optimisers as they are."""
