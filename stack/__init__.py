"""The native stack: the real servers as plain processes on one machine, without Docker."""
