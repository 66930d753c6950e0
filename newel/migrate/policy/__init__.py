"""The policy of an environment: what it refuses, asks for, keeps a copy of, and takes back."""
