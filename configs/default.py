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

    # Trainings in one program, side by side, with seeds seed, seed + 1, …; devices share them out where they can, and
    # otherwise split batches as well. Each becomes what a run with its seed alone becomes, to rounding.
    config.replicas = 1
    # Whose order and augmentation of the data each replica sees: "own", its seed's, as a run with that seed alone;
    # "shared", config.seed's, so that data are read once for all. Under both, initialisation, dropout, mixing and
    # erasing are drawn by its own seed.
    config.replica_data = "own"

    # What a run starts from, but for a classifier of other classes: a weight file, a TensorFlow checkpoint's prefix,
    # OWNER/NAME on the HuggingFace hub, or the folder of a run. None: from initialisers.
    config.init_from = placeholder(str)

    config.model = _model()
    config.data = _data()
    config.augment = _augment()
    config.train = _train()
    config.optimizer = _optimizer()
    config.parallel = _parallel()
    return config


def _data() -> ConfigDict:
    """What is read, and what evaluation sees of it."""
    data = ConfigDict()
    data.name = "imagenet2012"  # a TensorFlow Datasets name; `digits` and `image_folder` are our own
    data.data_dir = placeholder(str)  # None: TFDS_DATA_DIR or ~/tensorflow_datasets
    data.folder = placeholder(str)  # of image_folder: pictures, or a .tar or .zip; of imagenet2012: its archives
    data.skip_unreadable = False  # of image_folder: True leaves out what can't be read, False refuses it
    data.train_split = "train"  # any TFDS split expression
    data.validation_split = "validation"  # scored every `train.evaluate_every` steps
    data.test_split = placeholder(str)  # scored once, at the end; None: there is none
    data.image_size = 224  # pixels, of square images; see also `augment.image_size`
    data.channels = 3  # RGB; 1 is grey, with one number in mean and std
    data.mean = (0.5, 0.5, 0.5)  # per channel, of pixels in [0, 1]; subtracted on the device
    data.std = (0.5, 0.5, 0.5)  # divided by, likewise
    data.background = (0, 0, 0)  # red, green, blue behind what is transparent and beyond the borders
    data.exif_orientation = False  # True turns as the camera noted; ImageNet is used as it is stored
    # What evaluation sees: "whole_image"; "shorter_side" (or "shorter_side_floor") of `resize_size`, then the centre;
    # "central_fraction": the central `crop_fraction` of each side.
    data.resize = "central_fraction"
    data.resize_size = placeholder(int)  # pixels; None: `image_size`
    data.crop_fraction = 0.875
    # "nearest", "box", "bilinear", "bicubic", "lanczos" are Pillow's; "area" and "linear" OpenCV's; "bilinear_tf1".
    data.interpolation = "bilinear_tf1"
    # Neither changes what is read, so a run may go on with others.
    data.num_threads = 8  # that read ahead, here or in each worker; 0 suits images of some 32 pixels
    data.num_workers = 0  # processes; for more cores than some six, whose threads would wait for Python
    data.cache = "none"  # "memory" holds the records, still encoded: for small images in small data sets
    # Where training images are: "host", read and augmented as they are needed; "device": decoded once, all of them on
    # every device, and augmented there, with other draws.
    data.residence = "host"
    data.device_bytes = 2**30  # the most that residence "device" may take of each device's memory
    data.max_unreadable = 0.001  # share of unreadable images, of an epoch or more, above which the run stops
    return data


def _train() -> ConfigDict:
    """How long, how much at a time, and what is left alone."""
    train = ConfigDict()
    train.batch_size = 96  # global: over all devices and hosts
    train.accumulation_steps = 1  # micro-batches a step; batch norm sees one at a time
    train.num_epochs = 300.0  # passes over the training split
    train.num_steps = placeholder(int)  # optimizer steps; where given, instead of num_epochs
    train.label_smoothing = 0.0
    train.frozen = "nothing"  # "backbone": the classifier alone trains, and running statistics stay as well
    train.frozen_batch_norm = False  # True: running statistics normalise in training and stay as they are
    train.log_every = 100  # steps between rows of metrics.jsonl
    train.checkpoint_every = 5000  # steps
    train.evaluate_every = 10000  # steps; a multiple of checkpoint_every
    train.keep_checkpoints = 2  # the newest ones
    return train


def _optimizer() -> ConfigDict:
    """TF-slim's for MobileNetV2."""
    optimizer = ConfigDict()
    optimizer.name = "rmsprop"  # "rmsprop" as TF1 wrote it, "sgd" or "adamw"
    optimizer.learning_rate = 0.045  # at its peak
    optimizer.backbone_rate = 1.0  # learning rate of all but the classifier, over that of the classifier
    # The batch that this rate is stated for: it is scaled by batch_size / reference_batch; None: as it stands.
    optimizer.reference_batch = placeholder(int)
    optimizer.momentum = 0.9  # rmsprop, sgd; adamw's β₁
    optimizer.nesterov = True  # sgd: Nesterov's momentum, or Polyak's
    optimizer.decay = 0.9  # rmsprop's mean square; adamw's β₂
    optimizer.epsilon = 1.0  # rmsprop: inside the root; adamw: outside. sgd has none
    optimizer.weight_decay = 4e-5  # rmsprop, sgd: added to the gradient. adamw: decoupled
    # What decays: "slim" kernels but depthwise ones, "kernels" all kernels, "all" every parameter.
    optimizer.weight_decay_mask = "slim"
    optimizer.schedule = "exponential"  # staircase; or "cosine" to zero; or "constant"
    optimizer.warmup_epochs = 0.0  # linear from zero
    optimizer.decay_rate = 0.98  # exponential: factor of a stair
    optimizer.epochs_per_decay = 2.5  # exponential: length of a stair
    optimizer.ema_decay = 0.9999  # of parameters and batch statistics; 0: no averages
    return optimizer


def _parallel() -> ConfigDict:
    """Many devices and processes, and what becomes of a run where one of them ends."""
    parallel = ConfigDict()
    # Whose statistics normalise an example in training: "global", the whole batch's; "per_device", those of its
    # device's rows; "groups", those of `batch_norm_group` rows that follow each other. Running ones are means over all.
    parallel.batch_norm = "global"
    parallel.batch_norm_group = placeholder(int)  # rows of a group
    parallel.parameters = "replicated"  # "fsdp": parameters, averages and optimizer state are split over the devices
    parallel.deterministic = False  # True: a GPU, too, repeats a run bit for bit; slower. CPUs do so anyway
    # None of these changes what is computed, so a run may go on with others.
    parallel.agree_every = 10  # steps after which processes ask each other whether one was told to stop
    parallel.join_seconds = 300  # how long processes wait for each other at the start
    parallel.heartbeat_seconds = 60  # without a sign of life of a process, after which the others end
    # Without a step or a batch of an evaluation, the first of which are compiled, after which the run ends itself and
    # says where it hung; 0: never.
    parallel.stall_minutes = 30.0
    return parallel


def _augment() -> ConfigDict:
    """Of training images, in this order; each draw leaves the others alone."""
    augment = ConfigDict()
    augment.image_size = placeholder(int)  # pixels; None: `data.image_size`, which evaluation keeps
    augment.random_background = 0.0  # probability that a random colour takes the place of `data.background`
    # "evaluation" cuts as evaluation; "random_resized" (torchvision, timm), "distorted_box" (TF-slim): a random box of
    # the image, scaled; "padded" (CIFAR): evaluation's square, padded, then cut at random.
    augment.crop = "evaluation"
    augment.crop_area = (0.08, 1.0)  # of a box, least and greatest share of the image's
    augment.crop_aspect = (3 / 4, 4 / 3)  # of a box, least and greatest width / height
    augment.crop_padding = 4  # pixels, of "padded"
    augment.interpolation = "area"  # of a box; as `data.interpolation`
    augment.rotation = 0.0  # degrees: each is turned by U(−rotation, rotation)
    augment.zoom = 0.0  # … enlarged by a factor in U(1 − zoom, 1 + zoom)
    augment.shift = 0.0  # … and moved by U(−shift, shift) of its side along each axis
    augment.flip = True  # mirror half of them
    augment.brightness = 0.0  # s: factor in U(1 − s, 1 + s); with slim's orders a summand in U(−s, s), white being 1
    augment.contrast = 0.0  # factor in U(1 − s, 1 + s)
    augment.saturation = 0.0  # likewise
    augment.hue = 0.0  # moved by U(−s, s) of the circle
    augment.colour_order = "torchvision"  # any; "slim": one of its four; "slim_fast": brightness and saturation alone
    augment.policy = "none"  # "rand_augment", "trivial_augment_wide": torchvision's
    augment.policy_layers = 2  # rand_augment: operations an image
    augment.policy_magnitude = 9  # rand_augment: 0 … 30
    augment.policy_magnitude_std = 0.0  # rand_augment: of normal noise on the magnitude; 0: none
    augment.policy_probability = 1.0  # rand_augment: that an operation is applied; timm has 0.5
    augment.policy_interpolation = "nearest"  # "bilinear", "bicubic"
    # On the device, after normalisation. Labels are mixed as pixels are; training accuracy counts both, by share.
    augment.erasing = 0.0  # probability of an image that a box of it is erased: becomes the mean colour
    augment.erasing_area = (0.02, 1 / 3)  # the box's share of the image: uniform
    augment.erasing_aspect = (0.3, 3.3)  # … its height over its width: log-uniform
    augment.mixup = 0.0  # α: two images are added with weights λ and 1 − λ, λ ~ Beta(α, α) of a batch; 0: off
    augment.cutmix = 0.0  # α: a box of 1 − λ of the area, λ ~ Beta(α, α), is another image's; 0: off
    augment.mix_probability = 1.0  # share of the batches that are mixed; with both kinds on, half of them each
    augment.repeats = 1  # places of the stream that each example takes, augmented anew; epochs stay as long
    return augment


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
