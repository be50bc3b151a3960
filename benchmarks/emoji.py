"""Lays the emoji out as a folder of pictures, which `configs/image_folder.py` trains on.

    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    python -m benchmarks.emoji

`emoji/{train,validation}/CATEGORY/VENDOR-CODE.png`: 64×64 pixels with transparency, as the vendors drew them (Noto:
Apache-2.0; Twemoji: CC-BY 4.0). The task: name the Unicode category of an emoji never seen in training. The split is by
code point, so that both drawings of an emoji are on one side.
"""

import argparse
import hashlib
import json
import pathlib
import tarfile

from mobilenet_v2.data.builders.archives import read_member


def is_validation(code: str) -> bool:
    """A fifth of the code points."""
    return int(hashlib.sha256(code.encode()).hexdigest(), 16) % 5 == 0


def unpack(package: pathlib.Path, vendor: str, output: pathlib.Path) -> int:
    """Writes one vendor's pictures; returns how many."""
    prefix = f"package/img/{vendor}/64/"
    count = 0
    with tarfile.open(package) as tar:
        table = json.loads(read_member(tar, "package/emoji.json"))
        entries = {entry["image"]: entry for entry in table if entry["category"] != "Component"}
        for member in tar:
            name = member.name.removeprefix(prefix)
            if member.name.startswith(prefix) and name in entries:
                entry = entries[name]
                split = "validation" if is_validation(entry["unified"]) else "train"
                label = entry["category"].lower().replace(" & ", "_and_").replace(" ", "_")
                target = output / split / label / f"{vendor}-{name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(read_member(tar, member))
                count += 1
    return count


def main() -> None:
    """`[--packages=FOLDER] [--output=emoji]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=pathlib.Path, default=pathlib.Path(), help="where npm put the .tgz files")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("emoji"))
    arguments = parser.parse_args()
    for vendor in ("google", "twitter"):
        package = arguments.packages / f"emoji-datasource-{vendor}-16.0.0.tgz"
        print(f"{unpack(package, vendor, arguments.output)} pictures of {vendor} in {arguments.output}")


if __name__ == "__main__":
    main()
