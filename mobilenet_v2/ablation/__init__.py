"""Sweeps: from points that a config file names to runs, a table and figures.

A sweep's folder, which `ablate` fills and `report` reads:

    sweep.json              config, question, base (its fields), baseline, x_label, and of each point its name, group,
                            x, overrides, parameters, multiply_adds, and the seeds that were asked for
    POINT/seed_N/           the run directory of one point and seed, as training leaves it
    POINT/seed_N.log        what the run said
    POINT/seed_N.error      why it failed; gone once it has not
"""
