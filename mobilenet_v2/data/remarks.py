"""What `decode` does not show of a picture, for a person who wonders."""

import io

from PIL import Image

from mobilenet_v2.data.decode import PILLOW_ERRORS


def remarks(encoded: bytes) -> list[str]:
    """Sentences on a picture that can be decoded: further frames, inks for colours, transparency. Reads headers alone.

    What Pillow can't open has none.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            said = {
                "It is an animation or has several pages: the first is looked at.": getattr(
                    image, "is_animated", False
                ),
                "Its colours are those of inks, CMYK: they became red, green and blue without a colour profile.": (
                    image.mode == "CMYK"
                ),
                "It may be transparent: black lies behind what is.": image.has_transparency_data,
            }
    except PILLOW_ERRORS:
        return []
    return [sentence for sentence, holds in said.items() if holds]
