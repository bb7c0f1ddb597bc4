"""The synchronous face of the SDK: the same names without await."""
