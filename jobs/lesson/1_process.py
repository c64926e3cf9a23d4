"""A process for each value. Each has a number of its own, its pid."""

import multiprocessing
import os

from work import square


def tell(x, answers):
    answers.put((x, square(x), os.getpid()))


if __name__ == "__main__":
    answers = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=tell, args=(x, answers)) for x in range(1, 6)]
    for process in processes:
        process.start()
    # They come in whichever order the processes are done.
    for x, answer, pid in sorted(answers.get() for _ in processes):
        print(x, answer, pid, sep="\t")
    for process in processes:
        process.join()
