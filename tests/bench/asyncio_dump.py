"""The dump that asyncio services get from a dozen lines of their own, for comparison.

    asyncio_dump.py [TASKS [ROUNDS]]

TASKS tasks of three nested coroutines each wait for an event. SIGUSR1 is handled by taking
asyncio.all_tasks(), walking each task's coroutine along cr_await and writing the result with
json.dump(indent=2). Prints one line a round: the seconds from the signal to the file's final name.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time


async def wait_for(event, order):
    await event.wait()
    return order


async def ask_backend(event, order):
    return await wait_for(event, order)


async def handle_order(event, order):
    return await ask_backend(event, order)


def chain_of(coroutine):
    chain = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            chain.append({"awaitable": repr(coroutine)})
            break
        code = frame.f_code
        chain.append({"function": code.co_name, "file": code.co_filename, "line": frame.f_lineno})
        coroutine = coroutine.cr_await
    return chain


def dump(directory):
    tasks = [{"name": task.get_name(), "done": task.done(), "cancelled": task.cancelled(),
              "await_chain": chain_of(task.get_coro())} for task in asyncio.all_tasks()]
    path = os.path.join(directory, f"asyncio-{os.getpid()}.json")
    with open(path + ".part", "w") as file:
        json.dump({"tasks": tasks}, file, indent=2)
    os.rename(path + ".part", path)
    return path


async def main(tasks, rounds):
    event = asyncio.Event()
    waiting = [asyncio.create_task(handle_order(event, order)) for order in range(tasks)]
    await asyncio.sleep(0.1)
    with tempfile.TemporaryDirectory() as directory:
        ended = None

        def handle(*_):
            nonlocal ended
            path = dump(directory)
            ended = time.monotonic()
            os.unlink(path)

        signal.signal(signal.SIGUSR1, handle)
        for _ in range(rounds):
            begun, ended = time.monotonic(), None
            os.kill(os.getpid(), signal.SIGUSR1)
            while ended is None:
                await asyncio.sleep(0)
            print(ended - begun, flush=True)
    event.set()
    await asyncio.gather(*waiting)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000,
                     int(sys.argv[2]) if len(sys.argv) > 2 else 1))
