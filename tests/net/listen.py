#!/usr/bin/python3
"""How much of a reference can be understood in a recording: ESTOI (Jensen and Taal 2016), 0 to 1.

usage: listen.py REFERENCE.wav RECORDING.wav [LEAST]

Both files are 16-bit; of several channels the first counts. The recording may begin later or earlier, and its delay
may move while it plays (a play-out buffer adapts): it is aligned as a whole, then half second by half second. Only the part
of the reference that the recording's span covers is judged, and it has to be at least 2 s.
Prints `estoi X  delay Y ms  judged Z s`; exit 1 when X < LEAST.
"""
import sys
import wave

import numpy as np

RATE = 10000  # Hz: ESTOI looks at 150..4300 Hz
WINDOW, HOP, BINS = 256, 128, 512
BANDS, LOWEST_HZ = 15, 150
SEGMENT = 30  # frames, 384 ms
SILENCE_DB = 40  # frames this far below the loudest say nothing
LOCAL_S, LOCAL_REACH_S = 0.5, 0.08


def load(path):
    with wave.open(path) as w:
        if w.getsampwidth() != 2:
            sys.exit(f"{path}: not 16-bit")
        x = np.frombuffer(w.readframes(w.getnframes()), "<i2").reshape(-1, w.getnchannels())[:, 0]
        x, rate = x.astype(float) / 32768, w.getframerate()
    if len(x) == 0:
        sys.exit(f"{path}: empty")
    n = len(x) * RATE // rate  # resample by cutting the spectrum
    spectrum = np.fft.rfft(x)[: n // 2 + 1]
    spectrum = np.pad(spectrum, (0, n // 2 + 1 - len(spectrum)))
    return np.fft.irfft(spectrum, n) * n / len(x)


def lag(ref, rec):
    """Shift of rec against ref, in samples, at which they agree best, and how well (-1..1)."""
    n = 1 << int(np.ceil(np.log2(len(ref) + len(rec))))
    c = np.fft.irfft(np.fft.rfft(rec, n) * np.conj(np.fft.rfft(ref, n)), n)
    at = int(np.argmax(c))
    norm = np.sqrt(np.sum(ref**2) * np.sum(rec**2)) + 1e-12
    return (at - n if at > n // 2 else at), float(c[at] / norm)


def piece(x, start, length):
    """x[start : start + length], zeros outside."""
    out = np.zeros(length)
    a, b = max(start, 0), min(start + length, len(x))
    if b > a:
        out[a - start : b - start] = x[a:b]
    return out


def aligned(ref, rec, delay):
    """rec as it would be with no delay: half second by half second, joined without overlap."""
    out, step, reach = np.zeros(len(ref)), int(LOCAL_S * RATE), int(LOCAL_REACH_S * RATE)
    for start in range(0, len(ref), step):
        want = ref[start : start + step]
        local, fit = lag(want, piece(rec, start + delay - reach, len(want) + 2 * reach))
        move = local - reach if fit > 0.2 and 0 <= local <= 2 * reach else 0
        out[start : start + len(want)] = piece(rec, start + delay + move, len(want))
    return out


def bands(x):
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP] * np.hanning(WINDOW + 2)[1:-1]
    power = np.abs(np.fft.rfft(frames, BINS)) ** 2
    hz = np.arange(BINS // 2 + 1) * RATE / BINS
    centre = LOWEST_HZ * 2.0 ** (np.arange(BANDS) / 3)
    inside = (hz >= centre[:, None] * 2 ** (-1 / 6)) & (hz < centre[:, None] * 2 ** (1 / 6))
    return np.sqrt(inside @ power.T), 10 * np.log10(np.sum(frames**2, axis=1) + 1e-12)


def unit(x, axis):
    x = x - x.mean(axis=axis, keepdims=True)
    return x / (np.linalg.norm(x, axis=axis, keepdims=True) + 1e-12)


def estoi(ref, rec):
    a, loud = bands(ref)
    b, _ = bands(rec)
    spoken = loud > loud.max() - SILENCE_DB
    a, b = a[:, spoken], b[:, spoken]
    scores = []
    for n in range(SEGMENT, a.shape[1] + 1):
        p, q = (unit(unit(x[:, n - SEGMENT : n], 1), 0) for x in (a, b))
        scores.append(np.sum(p * q) / SEGMENT)
    return float(np.mean(scores)) if scores else 0.0


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    ref, rec = load(sys.argv[1]), load(sys.argv[2])
    delay, _ = lag(ref, rec)
    first, last = max(0, -delay), min(len(ref), len(rec) - delay)
    judged = (last - first) / RATE
    score = 0.0
    if judged >= 2:
        score = estoi(ref[first:last], aligned(ref[first:last], rec, delay + first))
    print(f"estoi {score:.3f}  delay {delay * 1000 // RATE} ms  judged {judged:.1f} s")
    sys.exit(len(sys.argv) == 4 and score < float(sys.argv[3]))


if __name__ == "__main__":
    main()
