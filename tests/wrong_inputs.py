"""What a user may get wrong, and what the one line must then hold: the field or flag, its value, what is allowed."""

import pathlib
from collections.abc import Callable

from configs import digits
from mobilenet_v2.training import run_directory

# What is wrong → flags beside --config and --workdir, what the line must hold: field, value, what is allowed.
WRONG_VALUES = {
    "misspelt field": (["--config.train.bach_size=4"], ["'train.bach_size'", "did you mean 'train.batch_size'"]),
    "misspelt section": (["--config.trian.batch_size=4"], ["'trian.batch_size'", "did you mean 'train.batch_size'"]),
    "misspelt field, value apart": (["--config.train.bach_size", "4"], ["'train.bach_size'", "'train.batch_size'"]),
    "not an integer": (["--config.train.batch_size=abc"], ["config.train.batch_size", "abc", "an integer ≥ 1"]),
    "fraction for an integer": (["--config.seed=1.5"], ["config.seed", "1.5", "an integer in 0 … 4294967295"]),
    "not a boolean": (["--config.augment.flip=maybe"], ["config.augment.flip", "maybe", "True or False"]),
    "None for an integer": (["--config.train.batch_size=None"], ["config.train.batch_size", "None", "an integer ≥ 1"]),
    "number for a section": (["--config.train=5"], ["config.train", "5"]),
    "width 0": (["--config.model.width_multiplier=0"], ["config.model.width_multiplier", "0.0", "(0, 16]"]),
    "dropout 1": (["--config.model.dropout_rate=1.0"], ["config.model.dropout_rate", "1.0", "[0, 1)"]),
    "negative smoothing": (["--config.train.label_smoothing=-0.1"], ["config.train.label_smoothing", "-0.1", "[0, 1)"]),
    "momentum 1": (["--config.optimizer.momentum=1"], ["config.optimizer.momentum", "1.0", "[0, 1)"]),
    "negative seed": (["--config.seed=-1"], ["config.seed", "-1", "an integer in 0 … 4294967295"]),
    "infinite learning rate": (
        ["--config.optimizer.learning_rate=inf"],
        ["learning_rate", "inf", "a number > 0 that float32 holds"],
    ),
    "no checkpoints": (["--config.train.keep_checkpoints=0"], ["config.train.keep_checkpoints", "0", "≥ 1"]),
    "zero steps": (["--config.train.num_steps=0"], ["config.train.num_steps", "0", "an integer ≥ 1, or None"]),
    "two means": (["--config.data.mean=(0.5,0.5)"], ["config.data.mean", "(0.5, 0.5)", "a tuple of three"]),
    "negative mixup": (["--config.augment.mixup=-1"], ["config.augment.mixup", "-1.0", "[0.001, 1000]"]),
    "area above the image": (
        ["--config.augment.erasing_area=(0.1,2.0)"],
        ["config.augment.erasing_area", "(0.1, 2.0)", "(least, greatest) of numbers in (0, 1]"],
    ),
    "mixup of one image": (
        ["--config.augment.mixup=0.2", "--config.train.batch_size=1"],
        ["config.augment.mixup", "0.2", "must be 0", "config.train.batch_size is 1"],
    ),
    "groups without a size": (
        ["--config.parallel.batch_norm=groups"],
        ["config.parallel.batch_norm_group is None", "must be a number of rows", "'groups'"],
    ),
    "a size without groups": (
        ["--config.parallel.batch_norm_group=4"],
        ["config.parallel.batch_norm_group is 4", "must be None", "'global'"],
    ),
    "statistics of a device under a frozen backbone": (
        ["--config.parallel.batch_norm=per_device", "--config.train.frozen=backbone"],
        ["config.parallel.batch_norm is 'per_device'", "must be 'global'", "config.train.frozen is 'backbone'"],
    ),
    "statistics of a device under frozen ones": (
        ["--config.parallel.batch_norm=per_device", "--config.train.frozen_batch_norm=True"],
        ["config.parallel.batch_norm is 'per_device'", "must be 'global'", "config.train.frozen_batch_norm is True"],
    ),
    "groups that do not divide the batch": (
        ["--config.parallel.batch_norm=groups", "--config.parallel.batch_norm_group=5"],
        ["config.parallel.batch_norm_group is 5", "must divide 32"],
    ),
    "no such place for parameters": (
        ["--config.parallel.parameters=sharded"],
        ["config.parallel.parameters", "'sharded'", "'replicated', 'fsdp'"],
    ),
    "one of three flags": (["--coordinator=host:80"], ["flag --num_processes is missing", "go together"]),
    "a process too many": (
        ["--coordinator=host:80", "--num_processes=2", "--process_id=2"],
        ["--process_id is '2'", "an integer in 0 … 1"],
    ),
    "steps of a trace": (["--profile_steps=9"], ["--profile_steps is '9'", "FIRST:LAST"]),
    "no name": (["--config.data.name="], ["config.data.name", "''", "a non-empty string"]),
    "head rule": (
        ["--config.model.head_rule=wide"],
        ["config.model.head_rule", "'wide'", "'paper', 'shrink', 'fixed'"],
    ),
    "network": (["--config.model.name=resnet"], ["config.model.name", "'resnet'", "'mobilenet_v2', 'mobilenet_v1'"]),
    "output stride": (["--config.model.output_stride=12"], ["config.model.output_stride", "12", "2, 4, 8, 16, 32"]),
    "ablation of V1": (
        ["--config.model.name=mobilenet_v1", "--config.model.residual=none"],
        ["config.model.residual", "'none'", "'bottlenecks'", "'mobilenet_v1'"],
    ),
    "dtype": (["--config.model.dtype=float16"], ["config.model.dtype", "'float16'", "'float32', 'bfloat16'"]),
    "padding": (["--config.model.padding=valid"], ["config.model.padding", "'valid'", "'same', 'symmetric'"]),
    "schedule": (["--config.optimizer.schedule=step"], ["config.optimizer.schedule", "'step'", "'cosine', 'constant'"]),
    "optimizer": (["--config.optimizer.name=adam"], ["config.optimizer.name", "'adam'", "'rmsprop', 'sgd', 'adamw'"]),
    "short stage": (
        ["--config.model.stages=((1,2,3),)"],
        ["config.model.stages[0]", "(1, 2, 3)", "(t or None, channels"],
    ),
    "stages that do not parse": (
        ["--config.model.stages=((1,"],
        ["config.model.stages", "((1,", "a non-empty tuple of"],
    ),
    "element of stages": (["--config.model.stages[0]=5"], ["'model.stages[0]'", "'model.stages'"]),
    "stage of stride 3": (["--config.model.stages=((1,16,1,3),)"], ["config.model.stages[0]", "stride 3", "1 … 2"]),
    "image below the strides": (["--config.data.image_size=2"], ["config.data.image_size", "is 2", "at least 8"]),
    "evaluation between checkpoints": (
        ["--config.train.evaluate_every=150"],
        ["config.train.evaluate_every", "150", "a multiple of config.train.checkpoint_every, 100"],
    ),
    "uneven micro-batches": (
        ["--config.train.accumulation_steps=5"],
        ["config.train.accumulation_steps", "is 5", "must divide config.train.batch_size, 32"],
    ),
    "head below the divisor": (
        ["--config.model.head_channels=4"],
        ["config.model.head_channels", "is 4", "at least config.model.channel_divisor, 8"],
    ),
    "fewer logits than labels": (
        ["--config.model.num_classes=9"],
        ["config.model.num_classes", "is 9", "at least 10", "'digits'"],
    ),
    "unknown data set": (["--config.data.name=digit"], ["config.data.name", "'digit'", "did you mean 'digits'"]),
    "data set not prepared": (
        ["--config.data.name=mnist"],
        ["'mnist'", "not prepared", "tfds build mnist --file_format=array_record --data_dir="],
    ),
    "pictures of no folder": (
        ["--config.data.name=image_folder"],
        ["config.data.folder", "None", "a folder of pictures", "'image_folder'"],
    ),
    "folder that does not exist": (
        ["--config.data.name=image_folder", "--config.data.folder=none/pictures"],
        ["config.data.folder", "'none/pictures'", "does not exist"],
    ),
    "folder of the digits": (
        ["--config.data.folder=pictures"],
        ["config.data.folder", "'pictures'", "must be None", "'digits'"],
    ),
    "unknown split": (
        ["--config.data.train_split=training"],
        ["'training'", "train (1257), validation (270), test (270)"],
    ),
    "empty split": (["--config.data.test_split=test[:0]"], ["'test[:0]'", "test (270)"]),
    "split that does not parse": (["--config.data.test_split=test[:"], ["'test[:'", "test (270)"]),
    "warm-up longer than the run": (
        ["--config.optimizer.warmup_epochs=30"],
        ["config.optimizer.warmup_epochs", "30.0", "less than the run's 943"],
    ),
    "weights that do not exist": (
        ["--config.init_from=./none.h5"],
        ["weights 'none.h5'", "must be a file of safetensors"],
    ),
    "weights that can't be there": ([f"--config.init_from={'x' * 300}"], ["xxx'", "can't be read: File name too long"]),
    "weights of no name": (["--config.init_from="], ["config.init_from", "''", "a non-empty string, or None"]),
    "frozen": (["--config.train.frozen=head"], ["config.train.frozen", "'head'", "'nothing', 'backbone'"]),
    "rate of a frozen backbone": (
        ["--config.train.frozen=backbone", "--config.optimizer.backbone_rate=0.1"],
        ["config.optimizer.backbone_rate", "is 0.1", "must be 1.0", "'backbone'"],
    ),
    "data too large for the devices": (
        ["--config.data.residence=device", "--config.data.device_bytes=1000000"],
        ["config.data.residence", "'device'", "3871560 bytes", "config.data.device_bytes allows 1000000"],
    ),
    "no replicas": (["--config.replicas=0"], ["config.replicas", "0", "an integer in 1 … 1024"]),
    "replicas past the last seed": (
        ["--config.replicas=2", "--config.seed=4294967295"],
        ["config.seed", "4294967295", "at most 4294967294", "config.replicas is 2"],
    ),
    "replicas of split parameters": (
        ["--config.replicas=2", "--config.parallel.parameters=fsdp"],
        ["config.parallel.parameters", "'fsdp'", "must be 'replicated'", "config.replicas is 2"],
    ),
    "misspelt flag": (["--wrokdir=runs"], ["--wrokdir", "did you mean 'workdir'"]),
    "unknown flag": (["--xyzzy=1"], ["--xyzzy"]),
    "argument left over": (["left"], ["'left'", "--config=…", "--workdir=…"]),
}


def a_file(run: pathlib.Path) -> None:
    run.write_text("mine")


def below_a_file(run: pathlib.Path) -> None:
    run.parent.write_text("mine")


def foreign_files(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "thesis.tex").write_text("mine")


def another_config(run: pathlib.Path) -> None:
    config = digits.get_config()
    config.train.batch_size = 64
    with run_directory.hold(run):
        run_directory.create(run, config)


def damaged_config(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "config.json").write_text('{"seed": ')


def binary_config(run: pathlib.Path) -> None:
    run.mkdir()
    (run / "config.json").write_bytes(b"\xff\xfe\x00")


def damaged_result(run: pathlib.Path) -> None:
    with run_directory.hold(run):
        run_directory.create(run, digits.get_config())
    (run / "result.json").write_text('{"steps": ')


WRONG_WORKDIRS: dict[str, tuple[Callable[[pathlib.Path], None], str, list[str]]] = {
    "a file": (a_file, "run", ["run'", "is a file", "must be a folder"]),
    "below a file": (below_a_file, "file/run", ["file/run'", "is a file", "must be a folder"]),
    "foreign files": (foreign_files, "run", ["run'", "no config.json", "must be new, empty, or a run's"]),
    "another config": (another_config, "run", ["run'", "train.batch_size: 64 → 32", "use another workdir"]),
    "damaged config": (damaged_config, "run", ["run/config.json'", "damaged"]),
    "binary config": (binary_config, "run", ["run/config.json'", "damaged"]),
    "damaged result": (damaged_result, "run", ["run/result.json'", "damaged"]),
}
