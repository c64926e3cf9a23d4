"""Functions of the lesson."""


def square(x):
    return x * x


def pi(n):
    """Area under 4 / (1 + x^2) from 0 to 1, by the midpoints of n strips: near to pi, and slow."""
    width = 1 / n
    area = 0.0
    for k in range(n):
        x = (k + 0.5) * width
        area += 4 / (1 + x * x) * width
    return area
