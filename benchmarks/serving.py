"""The server under load: 200 requests a second of one title each; how many are answered, how soon, in how much memory.

`python benchmarks/serving.py` serves the models in the working directory, `--model FOLDER` those of a folder. Requests
are sent at fixed times, whether or not earlier ones are answered: a latency counts from the time that a request was
due. The server and what sends the requests share the machine.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from common import ROOT
from tagstudy.data.readers import Post, read_posts

CONNECTIONS = 32
WARM = 5  # seconds before memory is measured first


def main() -> None:
    options = arguments()
    command = [sys.executable, str(ROOT / "src/predict.py"), "--serve", "--port", "0"]
    command += ["--model", str(options.model)] if options.model else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        found = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())
        if not found:
            sys.exit("serving: the server did not start")
        asyncio.run(measure(int(found[1]), psutil.Process(server.pid), options))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder of models")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rate", type=int, default=200, help="requests a second (200)")
    return parser.parse_args()


def bodies() -> list[bytes]:
    posts = read_posts(ROOT / "data/sample/Posts.xml")
    return [json.dumps({"title": post.title}).encode() for post in posts if isinstance(post, Post) and post.title]


async def measure(port: int, server: psutil.Process, options: argparse.Namespace) -> None:
    titles, latencies, failed = bodies(), list[float](), list[int]()
    due: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    senders = [asyncio.create_task(send(port, due, latencies, failed)) for _ in range(CONNECTIONS)]
    start, memory = time.perf_counter(), list[float]()
    for number in range(options.seconds * options.rate):
        at = start + number / options.rate
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        due.put_nowait((at, titles[number % len(titles)]))
        if number % options.rate == 0 and number >= WARM * options.rate:
            memory.append(server.memory_info().rss / 2**20)
    for _ in senders:
        due.put_nowait(None)
    await asyncio.gather(*senders)
    seconds = time.perf_counter() - start
    p50, p99, most = np.percentile(latencies, [50, 99, 100]) * 1000
    used = server.cpu_times()
    print(
        f"{len(latencies):,} answers in {seconds:.1f} s: {len(latencies) / seconds:.1f} a second; {len(failed)} failed"
    )
    print(f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {most:.1f} ms")
    growth = np.polyfit(np.arange(len(memory)) / 60, memory, 1)[0]
    print(f"memory {memory[0]:.1f} MB at first, {memory[-1]:.1f} MB at last; {growth:+.2f} MB a minute")
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"the server used {(used.user + used.system) / seconds:.0%} of a core, its start included; {load}")


async def send(port: int, due: asyncio.Queue, latencies: list[float], failed: list[int]) -> None:
    """Send what is due over one connection, which is kept open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    while (request := await due.get()) is not None:
        at, body = request
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
        assert length
        await reader.readexactly(int(length[1]))
        latencies.append(time.perf_counter() - at)
        if " 200 " not in answer.splitlines()[0]:
            failed.append(1)
    writer.close()


if __name__ == "__main__":
    main()
