#include "ui/meter.h"

#include <string.h>

#define FLOOR_DB (-36)
#define SPAN_DB  30

const char *meter_bar(int64_t filled, int64_t of, unsigned cells, char out[static METER_BYTES])
{
    unsigned n;

    if (cells > METER_BYTES - 4)
        cells = METER_BYTES - 4;
    if (of < 1 || filled < 0)
        filled = 0;
    if (of < 1)
        of = 1;
    if (filled > of)
        filled = of;
    n = (unsigned)((filled * (int64_t)cells * 2 + of) / (of * 2));
    out[0] = '[';
    memset(out + 1, '#', n);
    memset(out + 1 + n, '-', cells - n);
    out[1 + cells] = ']';
    out[2 + cells] = '\0';
    return out;
}

const char *meter_level(int64_t db, unsigned cells, char out[static METER_BYTES])
{
    if (db < FLOOR_DB)
        db = FLOOR_DB;
    if (db > 0)
        db = 0;
    return meter_bar(db - FLOOR_DB, SPAN_DB, cells, out);
}
