"""A worker that scales pictures: the picture is the workload, with the wanted width in front of it."""

import os
from io import BytesIO

from PIL import Image

from geartrain import Job, Worker

worker = Worker(os.environ.get("GEARMAN_SERVERS", "127.0.0.1:4730").split(","))


@worker.function("scale")
def scale(job: Job) -> bytes:
    width, _, data = job.workload.partition(b"\n")
    with Image.open(BytesIO(data)) as picture:
        picture.thumbnail((int(width), picture.height))
        scaled = BytesIO()
        picture.save(scaled, "PNG")
    return scaled.getvalue()


if __name__ == "__main__":
    worker.run()
