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
# # A tour: from a picture to classes, features and costs
#
# Where the HuggingFace hub can be reached, these are the four lines:
#
# ```python
# model, variables = mnv2.load_pretrained("timm/mobilenetv2_100.ra_in1k")
# mnv2.predict(model, variables, ["cat.jpg"])
# mnv2.features(model, variables, "cat.jpg")
# mnv2.summarize(model)
# ```
#
# This notebook asks nothing of the internet. It takes the same network with weights drawn at random: shapes and costs
# are those of the published one, its classes and features mean nothing yet.

# %%
import jax
import matplotlib.pyplot as plt
from flax.traverse_util import flatten_dict
from sklearn.datasets import load_sample_image

import mobilenet_v2 as mnv2
from mobilenet_v2.ablation.figure_style import COLOURS, MARKERS, STYLE
from mobilenet_v2.models.variants import PREPROCESSING

plt.rcParams.update({**STYLE, "axes.axisbelow": True})

# %% [markdown]
# `create_model` knows the networks that others have published, by name, and `mobilenet_v2` itself, of which every field
# of `config.model` can be set. A network is a Flax module: a description, without any arrays. `init` draws these. A
# published file also says how photographs are made ready for it; here we say so ourselves.

# %%
model = mnv2.create_model("timm/mobilenetv2_100")
variables = mnv2.init(model)
model = mnv2.with_preprocessing(model, PREPROCESSING["timm"])

photograph = load_sample_image("china.jpg")
pooled = mnv2.features(model, variables, photograph)
print(f"photograph {photograph.dtype} {photograph.shape} → features {pooled.dtype} {pooled.shape}")

[likeliest] = mnv2.predict(model, variables, photograph, top=3)
print(*likeliest, sep="\n")

# %% [markdown]
# A published file brings the names of its classes. Here `predict` has numbers alone to call them by, and gives none of
# the 1000 as much as 3 %.

# %% [markdown]
# ## What it costs
#
# A row a block, for one image. Multiply-adds are counted as papers do: those of convolutions and classifier. `peak kB`
# is what inference must hold at once while the block runs.

# %%
mnv2.summarize(model)

# %% [markdown]
# ## From the picture to the features
#
# `features` has scaled and cut the photograph as timm does (`prepare` is that step alone), and can stop anywhere on the
# way: `features(model, variables, photograph, endpoint="block_05")`. Several stops at once are `model.endpoints`, of a
# normalised batch. The first panel is the picture as the network sees it, and each of the others the first channel at
# one stop. Random filters already blur and find edges, and the map shrinks from 112 to 7 pixels a side while the
# channels grow.

# %%
preprocessing = PREPROCESSING["timm"]
seen = mnv2.prepare(photograph, preprocessing)
normalised = (seen[None] / 255.0 - preprocessing.mean) / preprocessing.std
names = ["stem", "block_02", "block_05", "block_12", "features"]
maps = jax.jit(lambda x: model.endpoints(variables, x, names))(normalised)

figure, panels = plt.subplots(1, 6, figsize=(11, 2.4), layout="constrained")
panels[0].imshow(seen)
panels[0].set_title(f"seen\n{' × '.join(map(str, seen.shape))}")
for panel, name in zip(panels[1:], names, strict=True):
    panel.imshow(maps[name][0, ..., 0], cmap="gray")
    panel.set_title(f"{name}\n{' × '.join(map(str, maps[name].shape[1:]))}")
for panel in panels:
    panel.set_axis_off()
plt.show()

# %% [markdown]
# ## Where the multiply-adds are
#
# A convolution multiplies each number of its kernel once at every output position. The kernels are in `variables`; a
# block's expansion runs at the positions of its input, the rest at those of its output. Counted so, layer by layer,
# they must add up to what `summarize` found by watching the network run.

# %%
LAYERS = {"expand": "1×1 expansion", "depthwise": "3×3 depthwise", "project": "1×1 projection"}
cost = mnv2.summarize(model).cost
blocks = [block.name for block in cost.blocks]
positions = {block.name: block.output_shape[0] ** 2 if len(block.output_shape) == 3 else 1 for block in cost.blocks}
before = dict(zip(blocks[1:], blocks, strict=False))
multiply_adds = {layer: dict.fromkeys(blocks, 0) for layer in [*LAYERS.values(), "stem, head, classifier"]}
for (block, layer, *_), leaf in flatten_dict(variables["params"]).items():
    if leaf.ndim > 1:  # a kernel; batch norms and biases are not counted
        where = before[block] if layer == "expand" else block
        multiply_adds[LAYERS.get(layer, "stem, head, classifier")][block] += leaf.size * positions[where]

totals = {layer: sum(of_blocks.values()) for layer, of_blocks in multiply_adds.items()}
assert sum(totals.values()) == cost.multiply_adds
for layer, total in totals.items():
    print(f"{layer:22}  {total / 1e6:6.1f} million  {total / cost.multiply_adds:6.1%}")

# %%
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.6), sharex=True, layout="constrained")
floor = [0.0] * len(blocks)
for colour, hatch, (layer, of_blocks) in zip(COLOURS, ("", "//", "..", ""), multiply_adds.items(), strict=False):
    heights = [of_blocks[block] / 1e6 for block in blocks]
    above.bar(blocks, heights, bottom=floor, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=layer)
    floor = [one + more for one, more in zip(floor, heights, strict=True)]
above.set_ylabel("multiply-adds (millions)")
above.set_title(f"{cost.multiply_adds / 1e6:.1f} million multiply-adds for a picture of 224 × 224 pixels")
above.set_ylim(0, 1.08 * max(floor))
above.legend(loc="upper center", bbox_to_anchor=(0.42, 1))
below.bar(blocks, [block.parameters / 1e3 for block in cost.blocks], color=COLOURS[0])
below.set_ylabel("parameters (thousands)")
below.set_title(f"{cost.parameters / 1e6:.2f} million parameters")
below.tick_params(axis="x", rotation=60)
plt.show()

# %% [markdown]
# The 3×3 filters, all that looks at a neighbourhood, are cheap because each sees one channel: the work is in the 1×1
# convolutions around them. Parameters lie where the map is small and the channels are many: more than a third of them
# in the classifier of 1000 classes.
#
# ## Memory
#
# The narrow bottlenecks are what is kept between blocks; the wide inside of a block can be thrown away when the block
# is done (§5.1 of the paper). So the peak is that of one block, and not that of the widest tensors together.

# %%
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
axes.margins(y=0.08)
axes.bar(
    blocks,
    [block.peak_bytes / 1e3 for block in cost.blocks],
    color=COLOURS[5],
    label="held while the block runs, its output included",
)
axes.bar(
    blocks, [block.output_bytes / 1e3 for block in cost.blocks], color=COLOURS[1], label="its output, which is kept"
)
axes.set_ylabel("activations (kB, float32)")
axes.tick_params(axis="x", rotation=60)
axes.legend()
plt.show()

# %% [markdown]
# ## Other widths, and the network before
#
# The width multiplier scales the channels, and so multiply-adds nearly by its square. Below a width of 1 MobileNetV2
# keeps its last convolution at 1280 channels, and with it a classifier of 1.3 million parameters: it loses work faster
# than parameters. MobileNetV1 is the paper's baseline; at width 1 the paper gives 72.0 % on ImageNet for V2 and 70.6 %
# for V1, which takes nearly twice the work.

# %%
FAMILIES = {
    "MobileNetV2": ["slim/mobilenet_v2_035", "slim/mobilenet_v2_050", "slim/mobilenet_v2_075", "slim/mobilenet_v2_100"],
    "MobileNetV1": ["slim/mobilenet_v1_025", "slim/mobilenet_v1_050", "slim/mobilenet_v1_075", "slim/mobilenet_v1_100"],
}
figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for colour, marker, (family, members) in zip(COLOURS, MARKERS, FAMILIES.items(), strict=False):
    costs = [mnv2.summarize(mnv2.create_model(name)).cost for name in members]
    xs, ys = [one.multiply_adds / 1e6 for one in costs], [one.parameters / 1e6 for one in costs]
    axes.plot(xs, ys, marker=marker, color=colour, label=family)
    for name, x, y in zip(members, xs, ys, strict=True):
        axes.annotate(f"{int(name[-3:]) / 100:g}", (x, y), (6, -9), textcoords="offset points", size=8)
axes.set_xlabel("multiply-adds of a picture of 224 × 224 pixels (millions)")
axes.set_ylabel("parameters (millions)")
axes.set_title("a point is a width multiplier")
axes.legend()
plt.show()
