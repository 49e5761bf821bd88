"""The rules behind scripts/check_tidy.py, one module a kind. Each rule yields lines "path:line: what is wrong"."""
