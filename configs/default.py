"""Every field a config may have, with TF-slim's settings for the paper's ImageNet training as values.

Other configs are overlays: they take this one and change a few lines. What each field may be is checked by
`mobilenet_v2.config.validate` before anything else happens.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    """The complete config."""
    config = ConfigDict()
    config.seed = 0  # of initialisation, dropout, data order and augmentation

    config.model = _model()

    config.data = ConfigDict()
    config.data.name = "imagenet2012"  # a TensorFlow Datasets name; `digits` is our own
    config.data.data_dir = placeholder(str)  # None: TFDS_DATA_DIR or ~/tensorflow_datasets
    config.data.train_split = "train"  # any TFDS split expression
    config.data.validation_split = "validation"  # scored every `train.evaluate_every` steps
    config.data.test_split = placeholder(str)  # scored once, at the end; None: there is none
    config.data.image_size = 224  # pixels, of square images
    config.data.channels = 3  # RGB; 1 is grey, with one number in mean and std
    config.data.mean = (0.5, 0.5, 0.5)  # per channel, of pixels in [0, 1]; subtracted on the device
    config.data.std = (0.5, 0.5, 0.5)  # divided by, likewise
    config.data.background = (255, 255, 255)  # red, green, blue behind what is transparent
    config.data.exif_orientation = False  # True turns as the camera noted; ImageNet is used as it is stored
    # What evaluation sees: "whole_image"; "shorter_side" (or "shorter_side_floor") of `resize_size`, then the centre;
    # "central_fraction": the central `crop_fraction` of each side.
    config.data.resize = "central_fraction"
    config.data.resize_size = placeholder(int)  # pixels; None: `image_size`
    config.data.crop_fraction = 0.875
    # "nearest", "box", "bilinear", "bicubic", "lanczos" are Pillow's; "area" and "linear" OpenCV's; "bilinear_tf1".
    config.data.interpolation = "bilinear_tf1"
    # Neither changes what is read, so a run may go on with others.
    config.data.num_threads = 8  # that read ahead, here or in each worker; 0 suits images of some 32 pixels
    config.data.num_workers = 0  # processes; for more cores than some six, whose threads would wait for Python
    config.data.cache = "none"  # "memory" holds the records, still encoded: for small images in small data sets
    config.data.max_unreadable = 0.001  # share of unreadable images, of an epoch or more, above which the run stops

    config.augment = ConfigDict()  # of training images
    config.augment.flip = True  # mirror half of them
    config.augment.rotation = 0.0  # degrees: each is turned by U(−rotation, rotation)
    config.augment.zoom = 0.0  # … enlarged by a factor in U(1 − zoom, 1 + zoom)
    config.augment.shift = 0.0  # … and moved by U(−shift, shift) of its side along each axis

    config.train = ConfigDict()
    config.train.batch_size = 96  # global: over all devices and hosts
    config.train.accumulation_steps = 1  # micro-batches a step; batch norm sees one at a time
    config.train.num_epochs = 300.0  # passes over the training split
    config.train.num_steps = placeholder(int)  # optimizer steps; where given, instead of num_epochs
    config.train.label_smoothing = 0.0
    config.train.log_every = 100  # steps between rows of metrics.jsonl
    config.train.checkpoint_every = 5000  # steps
    config.train.evaluate_every = 10000  # steps; a multiple of checkpoint_every
    config.train.keep_checkpoints = 2  # the newest ones

    config.optimizer = ConfigDict()
    config.optimizer.name = "rmsprop"  # "rmsprop" as TF1 wrote it, "sgd" (Nesterov) or "adamw"
    config.optimizer.learning_rate = 0.045  # at its peak
    config.optimizer.momentum = 0.9  # rmsprop, sgd; adamw's β₁
    config.optimizer.decay = 0.9  # rmsprop's mean square; adamw's β₂
    config.optimizer.epsilon = 1.0  # rmsprop: inside the root; adamw: outside. sgd has none
    config.optimizer.weight_decay = 4e-5  # rmsprop, sgd: added to the gradient. adamw: decoupled
    # What decays: "slim" kernels but depthwise ones, "kernels" all kernels, "all" every parameter.
    config.optimizer.weight_decay_mask = "slim"
    config.optimizer.schedule = "exponential"  # staircase; or "cosine" to zero; or "constant"
    config.optimizer.warmup_epochs = 0.0  # linear from zero
    config.optimizer.decay_rate = 0.98  # exponential: factor of a stair
    config.optimizer.epochs_per_decay = 2.5  # exponential: length of a stair
    config.optimizer.ema_decay = 0.9999  # of parameters and batch statistics; 0: no averages
    return config


def _model() -> ConfigDict:
    """The paper's network, none of its ablations switched on."""
    model = ConfigDict()
    model.name = "mobilenet_v2"  # or "mobilenet_v1", the paper's baseline
    model.width_multiplier = 1.0  # α: scales the channels of every layer
    model.stem_channels = 32
    model.stem_stride = 2  # 1 for images of 32 pixels
    model.stem_rule = "scaled"  # stem's width: "scaled" × α, "fixed"
    model.output_stride = placeholder(int)  # 16, say: later strides become dilation; None: all are strides
    model.num_classes = 1000
    model.dropout_rate = 0.2  # before the classifier
    model.padding = "same"  # "same" (TF-slim, Keras), "symmetric" (torchvision, timm) or "keras_v1"
    model.batch_norm_epsilon = 1e-3  # 1e-3 goes with "same", 1e-5 with "symmetric"
    model.batch_norm_momentum = 0.997  # weight of the old value in a running average
    model.batch_norm_fast_variance = True  # False: two passes, for inputs with |mean| ≫ deviation
    model.batch_norm_unbiased = False  # running variance: True as TF-slim and PyTorch, False as Keras 3 and Flax
    model.initialization = "slim"  # "slim", "keras", "torchvision", "timm", "huggingface"
    model.activation = "relu6"  # "relu", "leaky_relu", "swish", "hard_swish", "gelu"
    model.dtype = "float32"  # of convolutions and activations; "bfloat16" on accelerators
    model.formulation = "auto"  # how it is computed: by platform; "lax", "shifted", "fused" to compare them
    # What the backward pass computes again to save memory: "none"; "convolutions" keeps their outputs; "blocks"
    # their inputs, as fused blocks do under both.
    model.remat = "none"

    # Of mobilenet_v2 only.
    model.expansion_factor = 6  # t: width of a block's inside over its input
    # Rows of the paper's Table 2: (t, channels, repeats, stride); t None is `expansion_factor`.
    model.stages = (
        (1, 16, 1, 1),
        (None, 24, 2, 2),
        (None, 32, 3, 2),
        (None, 64, 4, 2),
        (None, 96, 3, 1),
        (None, 160, 3, 2),
        (None, 320, 1, 1),
    )
    model.head_channels = 1280
    model.head_rule = "paper"  # head's width: "paper" × max(1, α), "shrink" × α, "fixed"
    model.channel_divisor = 8  # channels are rounded to its multiples
    # The paper's ablations; values other than these are measured against them.
    model.linear_bottleneck = True  # False: the activation after the projection, too
    model.residual = "bottlenecks"  # where shortcuts go: "expansions" between the wide tensors; "none"
    model.batch_norm_placement = "all"  # "not_after_projection", "not_after_depthwise"
    model.depthwise_order = "after_expansion"  # "before_expansion"

    # Of mobilenet_v1 only: rows of its paper's Table 1, (channels, repeats, stride).
    model.separable_stages = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
    return model
