"""A pool of two workers: each takes the next values when it is done with the last."""

import multiprocessing

from work import square

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        for answer in pool.map(square, range(1, 11)):
            print(answer)
