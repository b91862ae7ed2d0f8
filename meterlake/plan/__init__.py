"""What an installation of a given size needs: measured coefficients, servers by them, and a simulation of bad hours."""
