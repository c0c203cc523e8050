#include "unit/test.h"

#include <stdio.h>
#include <unistd.h>

#include "media/audio_wav.h"
#include "unit/media/call.h"

#define START (1000 * NS_PER_S)
#define MS    NS_PER_MS

struct heard {
    uint64_t n;
    ns_t last_at;
    int16_t last;
};

static void count_up(void *arg, ns_t at, int16_t *out, size_t n)
{
    struct heard *h = arg;

    h->last_at = at;
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)h->n++;
}

static void note(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct heard *h = arg;

    h->last_at = at;
    h->n += n;
    h->last = pcm[n - 1];
}

static void paced_capture(void **state)
{
    struct heard h = {0};
    struct audio_spec spec = {.is_capture = true, .source = count_up, .arg = &h};
    struct audio *a;
    int16_t pcm[960];

    (void)state;
    assert_int_equal(audio_open(&spec, &a, NULL), ERR_OK);
    a->ops->start(a, START);
    assert_int_equal(a->ops->read(a, START + 4 * MS, pcm, 960), 0);
    assert_true(a->ops->deadline(a) == START + 5 * MS);
    assert_int_equal(a->ops->read(a, START + 5 * MS, pcm, 960), 240);
    assert_int_equal(pcm[239], 239);
    assert_int_equal(a->ops->read(a, START + 16 * MS, pcm, 960), 480); /* two whole periods of 2.2 */
    assert_int_equal(a->ops->delay(a, START + 16 * MS), 48);
    a->ops->read(a, START + 600 * MS, pcm, 960); /* not read for long: the oldest is gone */
    assert_int_equal(a->n_xruns, 1);
    assert_true(a->ops->delay(a, START + 600 * MS) < 9600);
    audio_close(a);
}

static void paced_playback(void **state)
{
    struct heard h = {0};
    struct audio_spec spec = {.sink = note, .arg = &h};
    struct audio *a;
    int16_t pcm[480];

    (void)state;
    for (int i = 0; i < 480; i++)
        pcm[i] = 7;
    assert_int_equal(audio_open(&spec, &a, NULL), ERR_OK);
    a->ops->start(a, START);
    assert_int_equal(a->ops->write(a, START, pcm, 480), 480);
    assert_int_equal(a->ops->delay(a, START), 480);
    assert_int_equal(a->ops->delay(a, START + 4 * MS), 288);
    assert_int_equal(a->ops->write(a, START + 20 * MS, pcm, 480), 480); /* 10 ms of silence sounded before */
    assert_int_equal(a->n_xruns, 1);
    assert_int_equal(h.n, 480 + 480 + 480);
    assert_true(h.last_at == START + 20 * MS);
    for (int i = 0; i < 30; i++)
        a->ops->write(a, START + 20 * MS, pcm, 480);
    assert_int_equal(a->ops->delay(a, START + 20 * MS), 9600); /* and no further ahead */
    audio_close(a);
}

static void put_le(FILE *f, uint32_t v, int n)
{
    for (; n > 0; n--, v >>= 8)
        fputc((int)(v & 255), f);
}

/* A sine of 440 Hz, a quarter of full scale, half a second. */
static void write_wav(const char *path, unsigned rate, unsigned channels, unsigned bits, bool is_float)
{
    FILE *f = fopen(path, "wb");
    unsigned n = rate / 2, width = channels * bits / 8;

    fwrite("RIFF", 1, 4, f);
    put_le(f, 36 + 12 + n * width, 4);
    fwrite("WAVELIST", 1, 8, f);
    put_le(f, 3, 4);
    fwrite("abc\0fmt ", 1, 8, f); /* an odd chunk is padded */
    put_le(f, 16, 4);
    put_le(f, is_float ? 3 : 1, 2);
    put_le(f, channels, 2);
    put_le(f, rate, 4);
    put_le(f, rate * width, 4);
    put_le(f, width, 2);
    put_le(f, bits, 2);
    fwrite("data", 1, 4, f);
    put_le(f, n * width, 4);
    for (unsigned i = 0; i < n; i++)
        for (unsigned c = 0; c < channels; c++) {
            double v = sin(2 * M_PI * 440 * i / rate) / 4;
            float fl = (float)v;
            uint32_t raw;

            memcpy(&raw, &fl, 4);
            put_le(f,
                   is_float    ? raw
                   : bits == 8 ? (uint32_t)lround(128 + v * 127)
                               : (uint32_t)(int32_t)lround(v * 2147483647.0) >> (32 - bits),
                   (int)bits / 8);
        }
    fclose(f);
}

static char *scratch(char *room, const char *name)
{
    sprintf(room, "/tmp/ito-test-%ld-%s", (long)getpid(), name);
    return room;
}

static void any_wav(void **state)
{
    static const unsigned rates[] = {8000, 16000, 44100, 48000, 96000};
    static int16_t pcm[48000];
    char path[64];

    (void)state;
    scratch(path, "in.wav");
    for (unsigned r = 0; r < 5; r++)
        for (unsigned bits = 8; bits <= 40; bits += 8) { /* 40 stands for float */
            struct wav_reader *w;
            size_t n;
            double sum = 0;

            write_wav(path, rates[r], 1 + r % 2, bits == 40 ? 32 : bits, bits == 40);
            assert_int_equal(wav_reader_open(path, &w, NULL), ERR_OK);
            n = wav_reader_get(w, pcm, 48000);
            wav_reader_close(w);
            assert_in_range(n, 23900, 24100);
            for (size_t i = 4800; i < 19200; i++) {
                double d = pcm[i] - 8192 * sin(2 * M_PI * 440 * (double)i / 48000);

                sum += d * d;
            }
            assert_true(sqrt(sum / 14400) < (bits == 8 ? 250 : 60));
        }
    unlink(path);
}

static void bad_files(void **state)
{
    struct err_detail d;
    struct wav_reader *r;
    struct wav_writer *w;
    struct audio *a;
    struct audio_spec spec = {.is_capture = true};
    char path[64], name[80];
    FILE *f;

    (void)state;
    scratch(path, "bad.wav");
    sprintf(name, "wav:%s", path);
    spec.name = name;
    unlink(path);
    assert_int_equal(audio_open(&spec, &a, &d), ERR_CONFIG);
    assert_non_null(strstr(d.text, "cannot be played: no such file or folder."));
    f = fopen(path, "wb");
    fputs("RIFFxxxxWAVEfmt ", f);
    fclose(f);
    assert_int_equal(wav_reader_open(path, &r, &d), ERR_CONFIG);
    assert_non_null(strstr(d.text, "it ends before the sound."));
    f = fopen(path, "wb");
    fputs("#!/bin/sh\necho hello\n", f);
    fclose(f);
    assert_int_equal(wav_reader_open(path, &r, &d), ERR_CONFIG);
    assert_non_null(strstr(d.text, "it is not a WAV file."));
    assert_null(r);
    assert_int_equal(wav_writer_open("/dev/null", &w, &d), ERR_IO);
    assert_non_null(strstr(d.text, "/dev/null cannot be written: it is not a file."));
    assert_int_equal(wav_writer_open("/nowhere/x.wav", &w, &d), ERR_IO);
    unlink(path);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(wav_writer_open(path, &w, &d), ERR_IO);
    unlink(path);
}

static void written_is_read(void **state)
{
    static int16_t out[60000], in[60000];
    char path[64];
    struct wav_writer *w;
    struct wav_reader *r;

    (void)state;
    scratch(path, "out.wav");
    speak(out, 60000, 3);
    assert_int_equal(wav_writer_open(path, &w, NULL), ERR_OK);
    for (size_t at = 0; at < 60000; at += 240)
        assert_int_equal(wav_writer_put(w, out + at, 240), ERR_OK);
    wav_writer_close(w);
    assert_int_equal(wav_reader_open(path, &r, NULL), ERR_OK);
    assert_int_equal(wav_reader_get(r, in, 60000), 60000);
    assert_int_equal(wav_reader_get(r, in, 1), 0);
    in[0] = out[0];
    assert_memory_equal(in, out, sizeof in);
    wav_reader_close(r);
    unlink(path);
}

static void words(void **state)
{
    struct audio_spec spec = {.name = "no_such_card_anywhere", .is_capture = true};
    struct err_detail d;
    struct audio *a;

    (void)state;
    assert_int_equal(audio_open(&spec, &a, &d), ERR_IO);
    assert_string_equal(d.text, "Microphone cannot be opened: no such device.");
    spec.is_capture = false;
    assert_int_equal(audio_open(&spec, &a, &d), ERR_IO);
    assert_string_equal(d.text, "Speaker cannot be opened: no such device.");
    assert_null(a);
}

static void levels(void **state)
{
    int16_t pcm[480];

    (void)state;
    memset(pcm, 0, sizeof pcm);
    assert_true(audio_level_db(pcm, 480) == -99);
    for (int i = 0; i < 480; i++)
        pcm[i] = i & 1 ? 32767 : -32767;
    assert_true(fabs(audio_level_db(pcm, 480)) < 0.01);
    for (int i = 0; i < 480; i++)
        pcm[i] = i & 1 ? 3277 : -3277;
    assert_true(fabs(audio_level_db(pcm, 480) + 20) < 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("a paced microphone gives whole periods when their time has come", paced_capture),
        sentence("a paced loudspeaker sounds silence where nothing was written in time", paced_playback),
        sentence("a WAV file of any rate, width and number of channels becomes 48 kHz mono", any_wav),
        sentence("a file that is none is refused with words, devices and links are not written", bad_files),
        sentence("a recording written is the recording read", written_is_read),
        sentence("a card that is not there is named in words", words),
        sentence("levels are in decibels of full scale", levels),
    };

    return run_sentences("audio", tests);
}
