#include "media/audio_wav.h"

#include <errno.h>
#include <fcntl.h>
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "media/audio_paced.h"

#define CHUNK          512 /* frames converted at a time */
#define CHANNELS_MAX   8
#define FRAME_MAX      (CHANNELS_MAX * 4)
#define RATE_MIN       4000
#define RATE_MAX       384000
#define RESAMPLE_Q     8
#define FORMAT_PCM     1
#define FORMAT_FLOAT   3
#define FORMAT_EXTENDS 0xfffe
#define HEADER_BYTES   44
#define DATA_MAX       0x7ffff000u

static const char *reason(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or folder";
    case EACCES:
    case EPERM:
    case EROFS:
        return "no permission";
    case EISDIR:
        return "it is a folder";
    case ELOOP:
        return "it is a link";
    case ENOSPC:
    case EDQUOT:
        return "the disk is full";
    default:
        return "the system refused";
    }
}

struct wav_reader {
    FILE *file;
    unsigned format, channels, rate, bits;
    uint64_t left; /* bytes of sound not yet read */
    SpeexResamplerState *resampler;
    int16_t in[CHUNK];
    size_t n_in, at_in;
    bool is_over, is_flushed;
};

static uint32_t le(const uint8_t *at, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint32_t)at[i] << (8 * i);
    return v;
}

/* fmt chunk, little-endian: format 2, channels 2, rate 4, bytes/s 4, bytes/frame 2, bits 2;
 * extensible: 8 more, then the true format in the first two bytes of a GUID. */
static bool read_format(struct wav_reader *r, const uint8_t *at, size_t n)
{
    if (n < 16)
        return false;
    r->format = le(at, 2);
    r->channels = le(at + 2, 2);
    r->rate = le(at + 4, 4);
    r->bits = le(at + 14, 2);
    if (r->format == FORMAT_EXTENDS && n >= 26)
        r->format = le(at + 24, 2);
    return true;
}

/* RIFF size WAVE, then chunks of name 4, length 4, bytes padded to even: up to the sound. */
static const char *read_header(struct wav_reader *r)
{
    uint8_t head[12], chunk[8], fmt[40];
    bool has_format = false;

    if (fread(head, 1, 12, r->file) != 12 || memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0)
        return "it is not a WAV file";
    for (;;) {
        uint32_t len;

        if (fread(chunk, 1, 8, r->file) != 8)
            return "it ends before the sound";
        len = le(chunk + 4, 4);
        if (memcmp(chunk, "data", 4) == 0) {
            r->left = len == 0 || len >= DATA_MAX ? UINT64_MAX : len; /* unfinished: to the end of the file */
            break;
        }
        if (memcmp(chunk, "fmt ", 4) == 0) {
            size_t n = len < sizeof fmt ? len : sizeof fmt;

            if (fread(fmt, 1, n, r->file) != n || !read_format(r, fmt, n))
                return "its format is cut short";
            has_format = true;
            len -= (uint32_t)n;
        }
        if (fseek(r->file, (long)len + (len & 1), SEEK_CUR) != 0)
            return "it ends before the sound";
    }
    if (!has_format)
        return "it does not say its format";
    if (!(r->format == FORMAT_PCM && (r->bits == 8 || r->bits == 16 || r->bits == 24 || r->bits == 32)) &&
        !(r->format == FORMAT_FLOAT && r->bits == 32))
        return "its samples are neither 8, 16, 24 or 32 bit nor float";
    if (r->channels < 1 || r->channels > CHANNELS_MAX || r->rate < RATE_MIN || r->rate > RATE_MAX)
        return "its rate or number of channels is out of range";
    return NULL;
}

enum err wav_reader_open(const char *path, struct wav_reader **out, struct err_detail *detail)
{
    struct wav_reader *r = mem_alloc(sizeof *r);
    const char *wrong;
    struct stat st;
    int err;

    *out = NULL;
    r->file = fopen(path, "rbe");
    if (!r->file) {
        wrong = reason(errno);
    } else if (fstat(fileno(r->file), &st) != 0 || !S_ISREG(st.st_mode)) {
        wrong = "it is not a file";
    } else {
        wrong = read_header(r);
    }
    if (wrong) {
        wav_reader_close(r);
        return err_set(detail, ERR_CONFIG, "%s cannot be played: %s.", path, wrong);
    }
    if (r->rate != AUDIO_RATE_HZ) {
        r->resampler = speex_resampler_init(1, r->rate, AUDIO_RATE_HZ, RESAMPLE_Q, &err);
        if (r->resampler)
            speex_resampler_skip_zeros(r->resampler);
    }
    *out = r;
    return ERR_OK;
}

static double sample_of(const struct wav_reader *r, const uint8_t *at)
{
    float f;

    if (r->format == FORMAT_FLOAT) {
        uint32_t bits = le(at, 4);

        memcpy(&f, &bits, sizeof f);
        return f > 1 ? 32767 : f < -1 ? -32768 : f == f ? f * 32767.0 : 0;
    }
    if (r->bits == 8)
        return (at[0] - 128) * 256.0;
    return (double)(int32_t)(le(at, r->bits / 8) << (32 - r->bits)) / 65536.0;
}

static void refill(struct wav_reader *r)
{
    uint8_t raw[CHUNK * FRAME_MAX];
    size_t width = r->bits / 8, frame = width * r->channels, want = CHUNK, got;

    if (r->left / frame < want)
        want = (size_t)(r->left / frame);
    got = want > 0 ? fread(raw, frame, want, r->file) : 0;
    if (r->left != UINT64_MAX)
        r->left -= got * frame;
    r->n_in = got;
    r->at_in = 0;
    if (got == 0 && r->resampler && !r->is_flushed) { /* push the filter's last samples out */
        size_t n = (size_t)speex_resampler_get_input_latency(r->resampler);

        r->is_flushed = true;
        r->n_in = n < CHUNK ? n : CHUNK;
        memset(r->in, 0, r->n_in * sizeof *r->in);
    }
    r->is_over = r->n_in == 0;
    for (size_t i = 0; i < got; i++) {
        double sum = 0;

        for (unsigned c = 0; c < r->channels; c++)
            sum += sample_of(r, raw + i * frame + c * width);
        r->in[i] = (int16_t)(sum / r->channels);
    }
}

size_t wav_reader_get(struct wav_reader *r, int16_t *out, size_t n)
{
    size_t done = 0;

    while (done < n) {
        if (r->at_in == r->n_in)
            refill(r);
        if (r->is_over)
            break;
        if (r->resampler) {
            spx_uint32_t in = (spx_uint32_t)(r->n_in - r->at_in), room = (spx_uint32_t)(n - done);

            speex_resampler_process_int(r->resampler, 0, r->in + r->at_in, &in, out + done, &room);
            r->at_in += in;
            done += room;
        } else {
            size_t part = r->n_in - r->at_in < n - done ? r->n_in - r->at_in : n - done;

            memcpy(out + done, r->in + r->at_in, part * sizeof *out);
            r->at_in += part;
            done += part;
        }
    }
    return done;
}

void wav_reader_close(struct wav_reader *r)
{
    if (!r)
        return;
    if (r->file)
        fclose(r->file);
    if (r->resampler)
        speex_resampler_destroy(r->resampler);
    mem_free(r);
}

struct wav_writer {
    FILE *file;
    uint32_t n_bytes, header_at; /* sound so far; when the header was last right */
    bool has_failed;
};

static void put_le(uint8_t *at, uint32_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static bool write_header(struct wav_writer *w)
{
    uint8_t h[HEADER_BYTES] = "RIFF....WAVEfmt ....................data";

    put_le(h + 4, HEADER_BYTES - 8 + w->n_bytes, 4);
    put_le(h + 16, 16, 4);
    put_le(h + 20, FORMAT_PCM, 2);
    put_le(h + 22, 1, 2);
    put_le(h + 24, AUDIO_RATE_HZ, 4);
    put_le(h + 28, AUDIO_RATE_HZ * 2, 4);
    put_le(h + 32, 2, 2);
    put_le(h + 34, 16, 2);
    put_le(h + 40, w->n_bytes, 4);
    w->header_at = w->n_bytes;
    return fseek(w->file, 0, SEEK_SET) == 0 && fwrite(h, 1, sizeof h, w->file) == sizeof h &&
           fseek(w->file, 0, SEEK_END) == 0;
}

enum err wav_writer_open(const char *path, struct wav_writer **out, struct err_detail *detail)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct wav_writer *w;
    struct stat st;

    *out = NULL;
    if (fd < 0)
        return err_set(detail, ERR_IO, "%s cannot be written: %s.", path, reason(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(detail, ERR_IO, "%s cannot be written: it is not a file.", path);
    }
    w = mem_alloc(sizeof *w);
    w->file = ftruncate(fd, 0) == 0 ? fdopen(fd, "wb") : NULL;
    if (!w->file)
        close(fd);
    if (!w->file || !write_header(w) || fflush(w->file) != 0) {
        wav_writer_close(w);
        return err_set(detail, ERR_IO, "%s cannot be written: %s.", path, reason(errno));
    }
    *out = w;
    return ERR_OK;
}

enum err wav_writer_put(struct wav_writer *w, const int16_t *pcm, size_t n)
{
    uint8_t raw[2 * CHUNK];

    for (size_t done = 0; done < n && !w->has_failed;) {
        size_t part = n - done < CHUNK ? n - done : CHUNK;

        for (size_t i = 0; i < part; i++)
            put_le(raw + 2 * i, (uint16_t)pcm[done + i], 2);
        if (w->n_bytes > DATA_MAX - sizeof raw || fwrite(raw, 2, part, w->file) != part)
            w->has_failed = true;
        w->n_bytes += (uint32_t)(2 * part);
        done += part;
    }
    if (!w->has_failed && w->n_bytes - w->header_at >= 2 * AUDIO_RATE_HZ && !write_header(w))
        w->has_failed = true;
    return w->has_failed ? ERR_IO : ERR_OK;
}

void wav_writer_close(struct wav_writer *w)
{
    if (!w)
        return;
    if (w->file) {
        write_header(w);
        fclose(w->file);
    }
    mem_free(w);
}

/* The two as devices. */
struct wav_device {
    struct wav_reader *reader;
    struct wav_writer *writer;
    struct audio *audio;
};

static void wav_source(void *arg, ns_t at, int16_t *out, size_t n)
{
    struct wav_device *d = arg;
    size_t got = wav_reader_get(d->reader, out, n);

    (void)at;
    if (got < n) {
        memset(out + got, 0, (n - got) * sizeof *out);
        d->audio->is_ended = true;
    }
}

static void wav_sink(void *arg, ns_t at, const int16_t *pcm, size_t n)
{
    struct wav_device *d = arg;

    (void)at;
    wav_writer_put(d->writer, pcm, n);
}

static void wav_close(void *arg)
{
    struct wav_device *d = arg;

    wav_reader_close(d->reader);
    wav_writer_close(d->writer);
    mem_free(d);
}

enum err audio_wav_open(const char *path, bool is_capture, struct audio **out, struct err_detail *detail)
{
    struct wav_device *d = mem_alloc(sizeof *d);
    struct audio_spec spec = {.is_capture = is_capture, .source = wav_source, .sink = wav_sink, .arg = d};
    enum err e =
        is_capture ? wav_reader_open(path, &d->reader, detail) : wav_writer_open(path, &d->writer, detail);

    *out = NULL;
    if (e != ERR_OK) {
        mem_free(d);
        return e;
    }
    d->audio = *out = audio_paced_create(&spec, wav_close);
    return ERR_OK;
}
