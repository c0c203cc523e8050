"""A steady tone as a WAV file, and the longest hole in a recording of it."""
import wave

import numpy as np

RATE, HZ = 48000, 440
WINDOW_S = 0.02


def write(path, seconds):
    x = 8000 * np.sin(2 * np.pi * HZ * np.arange(int(seconds * RATE)) / RATE)
    with wave.open(path, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(x.astype("<i2").tobytes())


def longest_hole(path):
    """Seconds without the tone between its first and its last appearance, and seconds with it."""
    with wave.open(path) as w:
        rate = w.getframerate()
        x = np.frombuffer(w.readframes(w.getnframes()), "<i2").reshape(-1, w.getnchannels())[:, 0].astype(float)
    n = int(rate * WINDOW_S)
    x = x[: len(x) // n * n].reshape(-1, n)
    turn = np.exp(-2j * np.pi * HZ * np.arange(n) / rate)
    level = np.abs(x @ turn) * 2 / n  # amplitude at HZ
    is_there = level > 0.25 * np.percentile(level, 90) if len(level) else np.array([], bool)
    if not is_there.any():
        return float("inf"), 0.0
    at = np.flatnonzero(is_there)
    return float((np.diff(at).max(initial=1) - 1) * WINDOW_S), float(len(at) * WINDOW_S)
