/* base/file.h - whole files: read within a bound, replaced by write, fsync, rename.
 *
 * What a person or the program keeps in files is small and replaced whole, so that a kill or a full disk
 * leaves either the old or the new contents, never a mixture. Only regular files are touched: a device,
 * pipe, directory or link under the name is refused.
 *
 *   out     file_read() gives a buffer the caller frees with mem_free(); a NUL follows its last byte
 *   errors  ERR_NOT_FOUND, ERR_RANGE (too large), ERR_REFUSED (not a regular file), ERR_IO; detail has a sentence */
#ifndef ITO_BASE_FILE_H
#define ITO_BASE_FILE_H

#include "base/err.h"
#include "base/slice.h"

enum err file_read(const char *path, size_t max, uint8_t **out, size_t *out_len, struct err_detail *detail);
/* mode: permission bits of the new file, as 0600. */
enum err file_replace(const char *path, struct slice bytes, unsigned mode, struct err_detail *detail);
/* Append one line (a newline is added) with O_APPEND, creating the file with mode 0600. */
enum err file_append_line(const char *path, const char *line, struct err_detail *detail);
/* Make a folder and its parents, mode 0700; fine when it is there. */
enum err file_make_folder(const char *path, struct err_detail *detail);
bool file_exists(const char *path);

#endif
