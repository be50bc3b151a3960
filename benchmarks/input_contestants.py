"""The loaders that `input_pipeline` times, each in a process and, where need be, an environment of its own.

Run with a task as JSON. Says `@` and a JSON object of versions once ready; then takes, for each line of two numbers on
stdin, so many batches untimed and so many timed, and says `@` and {"cpu": …, "wall": …}: images a second of CPU time
for all of them, and of wall time for the timed ones. Batches are uint8 [B, 224, 224, 3].

Nothing of ours and nothing but the standard library is imported before the contestant is known.
"""

import contextlib
import importlib.metadata
import io
import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

BATCH, SIZE = 32, 224
if __name__ == "__mp_main__":
    from mobilenet_v2 import process

    process.be_a_data_worker()


def ours(folder: pathlib.Path, threads: int = 0, workers: int = 0, interpolation: str = "linear") -> Iterator[Any]:
    """ArrayRecord by way of TFDS and Grain, decoded and cut by our transforms."""
    from benchmarks.photograph_crops import AsManyAsImageNet, CropAsGiven, photographs
    from configs import default
    from mobilenet_v2.data.pipeline import training_batches
    from mobilenet_v2.data.workers import read

    config = default.get_config()
    config.train.batch_size = BATCH
    config.data.update(image_size=SIZE, num_threads=threads, num_workers=workers, interpolation=interpolation)
    source, transform = AsManyAsImageNet(photographs(folder)), CropAsGiven.of(config, crops_of(folder))
    with contextlib.closing(read(training_batches(source, config, transform=transform))) as batches:
        for batch in batches:
            yield batch["image"]


def bare_loop(folder: pathlib.Path, interpolation: str = "linear") -> Iterator[Any]:
    """The same records in the same order, held in memory, and the same transform, in a loop."""
    import numpy as np

    from benchmarks.photograph_crops import AsManyAsImageNet, CropAsGiven, photographs
    from configs import default
    from mobilenet_v2.data.pipeline import training_indices

    config = default.get_config()
    config.train.batch_size = BATCH
    config.data.update(image_size=SIZE, interpolation=interpolation)
    transform, source = CropAsGiven.of(config, crops_of(folder)), photographs(folder)
    records, rng = [source[index] for index in range(len(source))], np.random.default_rng(0)
    shuffled: Any = training_indices(AsManyAsImageNet(source), config)
    order = itertools.cycle([shuffled[row] % len(records) for row in range(50_000)])
    while True:
        examples = [transform.random_map(records[index], rng) for index in itertools.islice(order, BATCH)]
        yield np.stack([example["image"] for example in examples])


def tf_data(folder: pathlib.Path, threads: int = 1) -> Iterator[Any]:
    """A TFRecord, of which `decode_and_crop_jpeg` decodes only the crop; bilinear, not antialiased."""
    import tensorflow as tf  # pyrefly: ignore (lives in another environment)

    path = str(folder / "photographs.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for name, crop in crops_of(folder).items():
            encoded = tf.train.BytesList(value=[(folder / "images" / name).read_bytes()])
            fields = {"image": tf.train.Feature(bytes_list=encoded)}
            fields["crop"] = tf.train.Feature(int64_list=tf.train.Int64List(value=crop))
            writer.write(tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString())
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "crop": tf.io.FixedLenFeature([4], tf.int64)}

    def load(record: Any) -> Any:
        fields = tf.io.parse_single_example(record, spec)
        part = tf.image.decode_and_crop_jpeg(fields["image"], tf.cast(fields["crop"], tf.int32), channels=3)
        return tf.cast(tf.round(tf.image.resize(part, (SIZE, SIZE))), tf.uint8)

    dataset = tf.data.TFRecordDataset(path).repeat().shuffle(256, seed=0)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE if threads > 1 else None).batch(BATCH)
    return iter((dataset.prefetch(2) if threads > 1 else dataset).with_options(options).as_numpy_iterator())


def torch_loader(folder: pathlib.Path, workers: int = 0) -> Iterator[Any]:
    """`DataLoader` over files, Pillow's decoder, and its antialiased `resize(box=…)`, as torchvision cuts."""
    import numpy as np
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    crops = list(crops_of(folder).items())

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(crops)

        def __getitem__(self, index: int) -> Any:
            name, (top, left, height, width) = crops[index]
            image = Image.open(io.BytesIO((folder / "images" / name).read_bytes())).convert("RGB")
            box = (left, top, left + width, top + height)
            return torch.from_numpy(np.array(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)))

    loader = torch.utils.data.DataLoader(
        Files(), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    for _ in itertools.count():
        yield from loader


def crops_of(folder: pathlib.Path) -> dict[str, list[int]]:
    """[top, left, height, width] of each file."""
    return json.loads((folder / "crops.json").read_text())


def main() -> None:
    """Answers until its standard input ends."""
    task = json.loads(sys.argv[1])
    if task["cores"]:
        os.sched_setaffinity(0, set(task["cores"]))
    loaders = {"ours": ours, "bare_loop": bare_loop, "tf_data": tf_data, "torch": torch_loader}
    batches: Any = loaders[task["loader"]](pathlib.Path(task["folder"]), **task["arguments"])
    for _ in range(8):
        assert tuple(next(batches).shape) == (BATCH, SIZE, SIZE, 3)
    installed = {
        package.metadata["Name"].replace("_", "-"): package.version for package in importlib.metadata.distributions()
    }
    names = ("grain", "simplejpeg", "opencv-python-headless", "tensorflow-cpu", "tensorflow", "torch", "pillow")
    print("@" + json.dumps({name: installed[name] for name in names if name in installed}), flush=True)
    # From answer to answer, so that what threads of a loader read ahead while others have their turn counts as well.
    cpu = time.process_time()
    for line in sys.stdin:
        untimed, timed = map(int, line.split())
        for _ in range(untimed):
            next(batches)
        wall = time.perf_counter()
        for _ in range(timed):
            next(batches)
        wall, before, cpu = time.perf_counter() - wall, cpu, time.process_time()
        seconds = {"cpu": (cpu - before) / (untimed + timed), "wall": wall / timed}
        print("@" + json.dumps({clock: BATCH / second for clock, second in seconds.items()}), flush=True)
    if task["loader"] == "ours":
        batches.close()


if __name__ == "__main__":
    main()
