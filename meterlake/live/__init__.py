"""Live messages of other people's devices: how they are declared, decoded, and become readings on the grid. Pure."""
