"""The machine: what it has and lacks, packages, emulation, disk space."""
