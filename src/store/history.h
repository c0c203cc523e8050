/* store/history.h - every call attempt, failed ones too: one JSON object a line in history.jsonl (UX.md §6).
 *
 *   owner  history_create()/destroy(); trees are borrowed until the next history_add()
 *   caps   HISTORY_MAX calls in memory and in the file: above twice that the file is rewritten with the newest;
 *          a damaged line is skipped and counted */
#ifndef ITO_STORE_HISTORY_H
#define ITO_STORE_HISTORY_H

#include "base/json.h"

#define HISTORY_MAX 1000

struct history;

/* NULL path: in memory only. */
struct history *history_create(const char *path);
void history_destroy(struct history *h);
enum err history_load(struct history *h, struct err_detail *detail);
/* Takes the tree. It is kept even when the file cannot be written (then ERR_IO). */
enum err history_add_take(struct history *h, cJSON *call, struct err_detail *detail);
/* Row i is forgotten, in the file too. */
enum err history_delete(struct history *h, size_t i, struct err_detail *detail);
size_t history_count(const struct history *h);
/* 0 is the newest. */
const cJSON *history_at(const struct history *h, size_t i);
unsigned history_damaged(const struct history *h);

#endif
