/* Why rows are not ok, each reason once: a driver without a compiler gives the same one for every case. */
#ifndef SSA_VERIFY_REASONS_H
#define SSA_VERIFY_REASONS_H

#include "verify.h"

typedef struct row_reason {
    verify_status status;
    char         *text;
    int           rows;
} row_reason;

typedef struct reason_list { row_reason *at; int count, capacity; } reason_list;

/* One more row for this reason; whether it is the first (or memory for the list is short: then every row counts as one). */
bool reasons_add(reason_list *list, verify_status status, const char *text);
/* "  2206 skipped: the time budget is spent"; of what failed, which has been shown row by row, how many rows were not. */
void reasons_print(const reason_list *list, FILE *out);
void reasons_clear(reason_list *list);

#endif
