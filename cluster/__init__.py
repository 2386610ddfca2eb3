"""The world: clock, chance, network, disk, actors, faults, trace."""
