#include "media/audio.h"

#include <math.h>

#include "media/audio_alsa.h"
#include "media/audio_paced.h"
#include "media/audio_wav.h"

enum err audio_open(const struct audio_spec *spec, struct audio **out, struct err_detail *detail)
{
    const char *name = spec->name ? spec->name : "null";

    *out = NULL;
    if (spec->is_capture ? spec->source != NULL : spec->sink != NULL) {
        *out = audio_paced_create(spec, NULL);
        return ERR_OK;
    }
    if (strcmp(name, "null") == 0) {
        struct audio_spec silent = {.is_capture = spec->is_capture};

        *out = audio_paced_create(&silent, NULL);
        return ERR_OK;
    }
    if (strncmp(name, "wav:", 4) == 0)
        return audio_wav_open(name + 4, spec->is_capture, out, detail);
    return audio_alsa_open(name, spec->is_capture, out, detail);
}

void audio_close(struct audio *a)
{
    if (a)
        a->ops->close(a);
}

void audio_list(bool is_capture, audio_name_cb cb, void *arg)
{
    audio_alsa_list(is_capture, cb, arg);
    cb(arg, "null", "no sound");
}

double audio_level_db(const int16_t *pcm, size_t n)
{
    double sum = 0, db;

    for (size_t i = 0; i < n; i++)
        sum += (double)pcm[i] * pcm[i];
    if (n == 0 || sum == 0)
        return -99;
    db = 10 * log10(sum / (double)n / (32768.0 * 32768.0));
    return db < -99 ? -99 : db;
}
