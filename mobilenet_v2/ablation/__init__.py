"""Sweeps: from points that a config file names to runs, a table and figures.

A sweep's folder, which `runs.py` fills and `report` reads:

    sweep.json              config, question, base (its fields), baseline, x_label, seeds, and of each point its name,
                            group, x, overrides, parameters and multiply_adds
    POINT/seed_N/           the run directory of one point and seed, as training leaves it
    POINT/seed_N.log        what the run said
    POINT/seed_N.error      why it failed; gone once it has not
"""
