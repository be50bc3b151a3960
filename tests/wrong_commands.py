"""Command lines and config files that nothing can begin with: what is wrong → the input, what the line must hold."""

import pathlib

CONFIG = f"--config={pathlib.Path(__file__).parents[1] / 'configs' / 'digits.py'}"

# Flags of train.py, with {tmp} for a new folder.
WRONG_COMMANDS = {
    "no workdir": ([CONFIG], ["--workdir is missing"]),
    "no config": (["--workdir={tmp}/run"], ["--config is missing"]),
    "nothing": ([], ["is missing", "--config=…", "--workdir=…"]),
    "config that does not exist": (["--config={tmp}/none.py", "--workdir={tmp}/run"], ["--config", "none.py"]),
    "folder as config": (["--config={tmp}", "--workdir={tmp}/run"], ["--config", "{tmp}"]),
    "misspelt field, config apart": (
        ["--config", CONFIG.removeprefix("--config="), "--config.train.bach_size=4", "--workdir={tmp}/run"],
        ["'train.bach_size'", "did you mean 'train.batch_size'"],
    ),
}

# Texts of config files.
WRONG_CONFIG_FILES = {
    "None where a number must be": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    with config.ignore_type():\n        config.model.num_classes = None\n    return config\n",
        ["config.model.num_classes", "None", "an integer ≥ 2"],
    ),
    "a field too many": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    config.train.bach_size = 4\n    return config\n",
        ["'train.bach_size'", "did you mean 'train.batch_size'"],
    ),
    "a field too few": (
        "from configs import digits\n\n\ndef get_config():\n    config = digits.get_config()\n"
        "    del config.train['batch_size']\n    return config\n",
        ["config.train.batch_size is missing", "an integer ≥ 1"],
    ),
    "no ConfigDict": ("def get_config():\n    return 5\n", ["--config", "wrong.py", "ConfigDict"]),
}

# Flags of `python -m mobilenet_v2`, with {tmp} for a new folder.
WRONG_TOOLS = {
    "unknown command": (
        ["evalute"],
        ["'evalute'", "commands are train, ablate, report, summary, evaluate", "did you mean 'evaluate'"],
    ),
    "evaluate without a run": (["evaluate", "--workdir={tmp}"], ["{tmp}", "holds no run", "config.json"]),
    "evaluate of nothing": (["evaluate", "--workdir={tmp}/none"], ["{tmp}/none", "holds no run"]),
    "evaluate without a workdir": (["evaluate"], ["--workdir is missing"]),
    "summary without a config": (["summary"], ["--config is missing"]),
    "summary of a wrong config": (
        ["summary", CONFIG, "--config.model.width_multiplier=0"],
        ["config.model.width_multiplier", "0.0", "(0, 16]"],
    ),
    "prepare without a config": (["prepare"], ["--config is missing"]),
    "prepare of a wrong config": (["prepare", CONFIG, "--config.data.image_size=0"], ["config.data.image_size", "≥ 1"]),
    "prepare of an unknown data set": (
        ["prepare", CONFIG, "--config.data.name=digit"],
        ["'digit'", "did you mean 'digits'"],
    ),
    "inspect_data without an output": (["inspect_data", CONFIG], ["--output is missing"]),
    "inspect_data into no folder": (
        ["inspect_data", CONFIG, "--output={tmp}/none/sheet.png"],
        ["--output", "{tmp}/none/sheet.png", "in a folder that exists"],
    ),
    "inspect_data as a JPEG": (["inspect_data", CONFIG, "--output={tmp}/sheet.jpg"], ["sheet.jpg", "ending in .png"]),
    "inspect_data of no pictures": (
        ["inspect_data", CONFIG, "--output={tmp}/sheet.png", "--count=0"],
        ["--count", "'0'", "an integer in 1 … 1024"],
    ),
    "summary with a workdir": (["summary", CONFIG, "--workdir={tmp}/run"], ["unknown flag --workdir"]),
}
