# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fine-tuning on your pictures
#
# Pictures in folders, a folder a class; a backbone that was trained on something else; and a new classifier on top of
# it. The backbone stays frozen: its weights and statistics keep their bits, and only the classifier has gradients.
#
# With access to the HuggingFace hub, the backbone is a published one:
#
# ```python
# config.init_from = "timm/mobilenetv2_100.ra_in1k"  # trained on ImageNet
# config = sweep.apply(config, find_variant("timm/mobilenetv2_100").overrides())  # its network and preprocessing
# ```
#
# This notebook must run without, so it makes a small backbone first, by a real training: on scanned digits 0 to 4. "Your
# pictures" are the digits 5 to 9, of which the backbone has seen none, and only a few of each class are there to learn
# from. Everything is small, and the numbers at the end are of this toy: the steps are those of the real thing.

# %%
import os
import pathlib
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_digits

import mobilenet_v2 as mnv2
from configs import image_folder
from mobilenet_v2.ablation.figures import COLOURS, STYLE
from mobilenet_v2.training import loop

plt.rcParams.update(STYLE)
os.chdir(tempfile.mkdtemp())  # for all that is written below; a path to pictures of yours should be absolute

# %% [markdown]
# ## Pictures in folders
#
# `train/CLASS/…` and `validation/CLASS/…`; without the latter a fifth would be set aside. Any mixture of sizes and of
# formats will do.

# %%
digits = load_digits()
rng = np.random.default_rng(0)


def write_pictures(folder: str, classes: range, of_each: int) -> None:
    """Digits as PNG files: so many of each class to train with, all others for validation."""
    for digit in classes:
        rows = rng.permutation(np.flatnonzero(digits.target == digit))
        for place, row in enumerate(rows):
            path = pathlib.Path(folder, "train" if place < of_each else "validation", f"digit {digit}", f"{row}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[row] * 255 / 16).astype(np.uint8)).convert("RGB").save(path)


write_pictures("others", range(5), of_each=140)
write_pictures("yours", range(5, 10), of_each=8)
for folder in ("others", "yours"):
    counts = {split: len(list(pathlib.Path(folder, split).glob("*/*.png"))) for split in ("train", "validation")}
    print(folder, sorted(path.name for path in pathlib.Path(folder, "train").iterdir()), counts)
