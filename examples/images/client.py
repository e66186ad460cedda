"""A client that paints a picture and has it scaled to three widths at the same time."""

import os
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from geartrain import Client


def paint(width: int, height: int) -> bytes:
    """An evening by the sea."""
    sky = Image.linear_gradient("L").resize((width, height))
    red, green, blue = (sky.point(ramp) for ramp in (lambda v: 20 + v, lambda v: 30 + v // 2, lambda v: 90))
    picture = Image.merge("RGB", [red, green, blue])
    draw = ImageDraw.Draw(picture)
    horizon = height * 2 // 3
    sun, radius = (width * 5 // 8, horizon - height // 10), height // 7
    draw.circle(sun, radius, fill=(255, 214, 120))
    draw.rectangle((0, horizon, width, height), fill=(24, 44, 84))
    for row in range(horizon, height, 12):
        half = radius * (height - row) // (height - horizon) + (row * 37) % 41
        draw.line((sun[0] - half, row, sun[0] + half, row), fill=(255, 190, 110), width=4)
    file = BytesIO()
    picture.filter(ImageFilter.SMOOTH).save(file, "PNG")
    return file.getvalue()


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
original = paint(1200, 800)
(folder / "evening.png").write_bytes(original)

with Client(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(",")) as client:
    futures = {width: client.submit("scale", b"%d\n" % width + original) for width in (600, 300, 100)}
    for width, future in futures.items():
        path = folder / f"evening-{width}.png"
        path.write_bytes(future.result())
        print(f"{path.name}: {Image.open(path).width} x {Image.open(path).height}")
