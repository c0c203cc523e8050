/* ui/meter.h - bars for level, jitter, loss. */
#ifndef ITO_UI_METER_H
#define ITO_UI_METER_H

#include <stddef.h>
#include <stdint.h>

#define METER_BYTES 64

/* "[######----]" with `cells` cells (at most 60), filled/of of them full. */
const char *meter_bar(int64_t filled, int64_t of, unsigned cells, char out[static METER_BYTES]);
/* The same for a sound level: -36 dBFS and below is empty, -6 and above full, 1.5 dB a cell at 20 cells. */
const char *meter_level(int64_t db, unsigned cells, char out[static METER_BYTES]);

#endif
