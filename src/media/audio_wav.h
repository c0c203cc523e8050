/* media/audio_wav.h - WAV files: as devices (`wav:FILE`), and to read and write for greetings and recordings.
 *
 * Read: PCM of 8, 16, 24, 32 bit or 32-bit float, 1 to 8 channels (averaged), 4 to 384 kHz: always 48 kHz mono
 * comes out. Written: 48 kHz mono 16 bit; the header is right at least once a second, so that a killed program
 * leaves a playable file.
 *
 *   owner  the caller of *_open(); ends with *_close()
 *   trust  a file may be anything: what is wrong with it is said in words; lengths are checked
 *   caps   nothing is read into memory whole; a file written ends at 2 GiB */
#ifndef ITO_MEDIA_AUDIO_WAV_H
#define ITO_MEDIA_AUDIO_WAV_H

#include "media/audio.h"

/* `FILE` of `wav:FILE`; the device is paced by `now` as in audio_paced.h. */
enum err audio_wav_open(const char *path, bool is_capture, struct audio **out, struct err_detail *detail);

struct wav_reader;
enum err wav_reader_open(const char *path, struct wav_reader **out, struct err_detail *detail);
/* Samples read, fewer than n at the end only. */
size_t wav_reader_get(struct wav_reader *r, int16_t *out, size_t n);
void wav_reader_close(struct wav_reader *r);

struct wav_writer;
/* Makes or replaces a regular file, mode 0600; links and devices are refused. */
enum err wav_writer_open(const char *path, struct wav_writer **out, struct err_detail *detail);
/* ERR_IO when the disk is full (said once; later calls do nothing). */
enum err wav_writer_put(struct wav_writer *w, const int16_t *pcm, size_t n);
void wav_writer_close(struct wav_writer *w);

#endif
