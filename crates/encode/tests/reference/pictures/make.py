"""Small pictures of the kinds that posters come in, and how they look upright: QUARTERS, or red where there is one colour.

    python -m venv v && v/bin/pip install pillow
    v/bin/python make.py
"""
import pathlib
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters():
    """Red, green / blue, white; wider than high."""
    picture = Image.new("RGB", (48, 32))
    for at, colour in enumerate([RED, GREEN, BLUE, WHITE]):
        picture.paste(colour, (24 * (at % 2), 16 * (at // 2), 24 * (at % 2) + 24, 16 * (at // 2) + 16))
    return picture


# What is done to an upright picture so that the orientation turns it back.
TURNS = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
         Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270]
SHARP = {"quality": 90, "subsampling": 0}


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = TURNS[orientation - 1]
    return (quarters() if turn is None else quarters().transpose(turn)), exif


for orientation in range(1, 9):
    picture, exif = turned(orientation)
    picture.save(HERE / f"turned-{orientation}.jpg", exif=exif, **SHARP)
picture, exif = turned(6)
picture.save(HERE / "turned-6.png", exif=exif)
picture.save(HERE / "turned-6.webp", exif=exif, lossless=True)
picture.save(HERE / "turned-6.tif", compression="tiff_lzw", tiffinfo={0x0112: 6})

cmyk = quarters().convert("CMYK")
cmyk.save(HERE / "cmyk.jpg", **SHARP)
cmyk.save(HERE / "cmyk.tif", compression="tiff_lzw")
quarters().save(HERE / "progressive.jpg", progressive=True, **SHARP)
quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=4).save(HERE / "palette.png")

frames = [Image.new("RGB", (12, 8), colour) for colour in (RED, GREEN, BLUE)]
for ending, more in [("gif", {}), ("webp", {"lossless": True}), ("png", {})]:
    frames[0].save(HERE / f"animated.{ending}", save_all=True, append_images=frames[1:], duration=100, loop=0, **more)

for width, height in [(1, 4000), (4000, 1)]:
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2 if width > 1 else 0, height // 2 if height > 1 else 0, width, height))
    picture.save(HERE / f"line-{width}x{height}.png")
for path in sorted(HERE.glob("*.*")):
    if path.suffix != ".py":
        assert path.stat().st_size < 2048, path
