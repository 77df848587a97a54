#include "reasons.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool reasons_add(reason_list *list, verify_status status, const char *text) {
    for (int i = 0; i < list->count; i++)
        if (list->at[i].status == status && !strcmp(list->at[i].text, text)) {
            list->at[i].rows++;
            return false;
        }
    if (list->count == list->capacity) {
        int     capacity = list->capacity ? 2 * list->capacity : 16;
        row_reason *grown = realloc(list->at, (size_t)capacity * sizeof *grown);
        if (!grown) return true;
        list->at = grown;
        list->capacity = capacity;
    }
    row_reason r = {status, strdup(text), 1};
    if (r.text) list->at[list->count++] = r;
    return true;
}

void reasons_print(const reason_list *list, FILE *out) {
    for (int i = 0; i < list->count; i++) {
        const row_reason *r = &list->at[i];
        if (r->status != VERIFY_FAILED) fprintf(out, "  %d %s: %s\n", r->rows, verify_status_name(r->status), r->text);
        else if (r->rows > 1) fprintf(out, "  %d more failed for the reason shown: %.60s%s\n", r->rows - 1, r->text, strlen(r->text) > 60 ? "..." : "");
    }
}

void reasons_clear(reason_list *list) {
    for (int i = 0; i < list->count; i++) free(list->at[i].text);
    free(list->at);
    *list = (reason_list){0};
}
