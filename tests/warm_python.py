"""A Python that has imported what scripts of the study import, so that a test need not wait for it each time.

As a program it listens on a socket, and forks a copy of itself for each script that `python` in the socket's folder is
asked to run. The copy has the arguments, folder, environment and streams of the one who asked. Nothing of the study
itself is imported before the fork: each script runs the code of its own tree.
"""

import atexit
import json
import os
import random
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

IMPORTS = [
    "numpy", "scipy.sparse", "scipy.special", "scipy.optimize", "pandas", "pyarrow.parquet", "pydantic", "yaml", "tqdm",
    "lxml.etree", "matplotlib.backends.backend_agg", "torch", "torch.optim.adamw", "safetensors.torch", "dvclive",
    "dvc.cli", "dvc.repo", "dvc.commands.repro",
]  # fmt: skip
PYTHON = f"""#!{sys.executable} -IS
import json, os, socket, sys
arguments = sys.argv[1:]
if arguments[:2] != ["-m", "dvc"] and arguments[0].startswith("-"):  # an option of Python's
    os.execv({sys.executable!r}, [{sys.executable!r}, *arguments])
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.path.join(os.path.dirname(__file__), "socket"))
told = json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(told).to_bytes(4, "big")], [0, 1, 2])
connection.sendall(told)
status = int(connection.recv(4))
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def start() -> str:
    """Start one, which ends with this process. Returns the folder in which `python` and `dvc` ask it."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    for name, text in (("python", PYTHON), ("dvc", PYTHON.replace("= sys.argv[1:]", "= ['-m', 'dvc', *sys.argv[1:]]"))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    command = [sys.executable, __file__, str(folder / "socket")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert server.stdin and server.stdout and server.stdout.readline()  # it listens
    atexit.register(server.stdin.close)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def serve(address: str) -> NoReturn:
    for name in IMPORTS:
        __import__(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    if os.fork() == 0:  # ends this process and all scripts, a group, once the one who started it is gone
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> NoReturn:
    """Run what is asked for in another process, and tell its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    told = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    script = os.fork()
    if not script:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        connection.close()
        run(*json.loads(told))
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(script, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    """Be the Python that runs this script, or this module after -m."""
    os.chdir(folder)
    os.environ.clear()
    os.environ |= environment
    random.seed()
    status: object = 0
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path[0] = ""
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = str(Path(arguments[0]).resolve().parent)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    finally:
        os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    serve(sys.argv[1])
