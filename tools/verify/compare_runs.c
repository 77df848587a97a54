/* Two reports side by side: what changed between two drivers, two machines or two versions of ours. */
#include "session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 60 };

typedef struct entry { char *key; const cJSON *row; } entry;
typedef struct table { entry *at; int count; } table;

/* A device's name without what its driver adds: "llvmpipe (LLVM 15.0.6, 256 bits)" is llvmpipe. */
static void short_name(const cJSON *record, char *out, size_t size) {
    const char *name = report_text(record, "name");
    snprintf(out, size, "%s %.*s", report_text(record, "api"), (int)strcspn(name, "("), name);
}

static const cJSON *record_of(const cJSON *report, const char *device) {
    const cJSON *o;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(report, "devices"))
        if (!strcmp(report_text(o, "device"), device)) return o;
    return NULL;
}

/* Which device of B is A's: the one of the same API and name, else the one of the same number, else the only other one. */
static const char *counterpart(const cJSON *a, const cJSON *b, const char *device) {
    const cJSON *mine = record_of(a, device), *o, *devices = cJSON_GetObjectItem(b, "devices");
    char         name[300], other[300];
    if (mine) {
        short_name(mine, name, sizeof name);
        cJSON_ArrayForEach(o, devices) {
            short_name(o, other, sizeof other);
            if (!strcmp(name, other)) return report_text(o, "device");
        }
    }
    if (record_of(b, device)) return device;
    return cJSON_GetArraySize(cJSON_GetObjectItem(a, "devices")) == 1 && cJSON_GetArraySize(devices) == 1 ? report_text(devices->child, "device")
                                                                                                          : NULL;
}

/* NULL: out of memory */
static char *make_key(const cJSON *row, const char *device) {
    char *key;
    int   made = asprintf(&key, "%s %s %s %s %s, %s, %s", device, report_text(row, "mode"), report_text(row, "op"), report_text(row, "dtype"),
             report_text(row, "case"), report_text(row, "variant"), report_text(row, "output"));
    return made < 0 ? NULL : key;
}

static int by_key(const void *a, const void *b) { return strcmp(((const entry *)a)->key, ((const entry *)b)->key); }

static ssa_status index_rows(const cJSON *report, table *t, ssa_error *err) {
    const cJSON *rows = cJSON_GetObjectItem(report, "rows"), *row;
    t->at = calloc((size_t)cJSON_GetArraySize(rows) + 1, sizeof *t->at);
    if (!t->at) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a report");
    cJSON_ArrayForEach(row, rows) {
        t->at[t->count] = (entry){make_key(row, report_text(row, "device")), row};
        if (!t->at[t->count++].key) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a report");
    }
    qsort(t->at, (size_t)t->count, sizeof *t->at, by_key);
    return SSA_OK;
}

static void free_table(table *t) {
    for (int i = 0; i < t->count; i++) free(t->at[i].key);
    free(t->at);
}

static void describe(const cJSON *report, const char *letter, FILE *out) {
    const cJSON *o;
    fprintf(out, "%s: %s\n", letter, report_text(report, "time"));
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(report, "devices")) fprintf(
        out, "   %-10s %s\n", report_text(o, "device"), *report_text(o, "description") ? report_text(o, "description") : report_text(o, "driver"));
}

typedef struct changes { int same, status, worse, better, only_a, only_b, listed; } changes;

static bool same_number(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

/* An error ten times as large, and not negligible beside its limit, is worth a line though it passes. */
static void compare_rows(const char *key, const cJSON *a, const cJSON *b, changes *n, bool *worse, FILE *out) {
    const char *was = report_text(a, "status"), *is = report_text(b, "status");
    double      before = report_number(a, "error"), after = report_number(b, "error"), limit = report_number(b, "limit");
    char        line[200] = "";
    if (strcmp(was, is)) {
        n->status++;
        *worse |= !strcmp(is, "failed") || !strcmp(is, "unsupported");
        snprintf(line, sizeof line, "%s -> %s", was, is);
    } else if (same_number(before, after)) {
        n->same++;
    } else if (after > 10 * before && after > 1e-3 * limit) {
        n->worse++;
        snprintf(line, sizeof line, "error %.2g -> %.2g (limit %.2g)", before, after, limit);
    } else if (before > 10 * after && before > 1e-3 * limit) {
        n->better++;
        snprintf(line, sizeof line, "error %.2g -> %.2g (limit %.2g)", before, after, limit);
    } else n->same++;
    if (!*line || ++n->listed > LISTED) return;
    const char *reason = report_text(b, "reason");
    fprintf(out, "%s: %s%s%s\n", key, line, *reason ? ": " : "", reason);
}

ssa_status compare_runs(const cJSON *a, const cJSON *b, FILE *out, bool *worse, ssa_error *err) {
    table        theirs = {0};
    changes      n = {0};
    const cJSON *row;
    *worse = false;
    describe(a, "A", out);
    describe(b, "B", out);
    ssa_status status = index_rows(b, &theirs, err);
    bool      *found = calloc((size_t)theirs.count + 1, sizeof *found);
    if (!found && !status) status = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a report");
    if (!status) cJSON_ArrayForEach(row, cJSON_GetObjectItem(a, "rows")) {
            const char *device = counterpart(a, b, report_text(row, "device"));
            char       *key = make_key(row, device ? device : "");
            if (!key) {
                status = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a report");
                break;
            }
            entry *e = bsearch(&(entry){key, NULL}, theirs.at, (size_t)theirs.count, sizeof *theirs.at, by_key);
            if (!e) {
                free(key);
                n.only_a++;
                continue;
            }
            found[e - theirs.at] = true;
            compare_rows(key, row, e->row, &n, worse, out);
            free(key);
        }
    for (int i = 0; i < theirs.count && !status; i++) {
        if (found[i]) continue;
        n.only_b++;
        *worse |= !strcmp(report_text(theirs.at[i].row, "status"), "failed");
    }
    if (!status && n.only_a + n.only_b == cJSON_GetArraySize(cJSON_GetObjectItem(a, "rows")) + theirs.count)
        status = ssa_fail(err, SSA_ERR_INPUT, "the reports have no row in common: there is nothing to compare");
    if (!status) {
        if (n.listed > LISTED) fprintf(out, "... and %d more\n", n.listed - LISTED);
        fprintf(out, "%d rows as before, %d of another status, %d with a larger error, %d with a smaller one; %d only in A, %d only in B\n", n.same,
                n.status, n.worse, n.better, n.only_a, n.only_b);
    }
    free(found);
    free_table(&theirs);
    return status;
}
