/* Reports as one self-contained page: the matrix operation x (device, variant), what is behind each cell, and what each device
 * says of itself. No script: cells open by the popover attribute. */
#include "report_file.h"
#include "session.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 200, LINES = 400, SHOWN = 14 };

typedef struct column { int report; const char *device, *variant; } column;
typedef struct line { const char *mode, *op; } line;
typedef struct cell {
    const cJSON **row;
    int           count[4], rows, capacity;
    double        share, error, ulp; /* of the rows that are ok: the largest error / limit, that error, the largest ULP */
} cell;

typedef struct page {
    const cJSON *const *report;
    int                 reports, columns, lines;
    column              column[COLUMNS];
    line                line[LINES];
    cell               *cell; /* [lines][COLUMNS] */
    FILE               *out;
} page;

static const char *const classes[] = {"ok", "failed", "unsupported", "skipped"};
static const char *const marks[] = {"\xe2\x9c\x93", "\xe2\x9c\x97", "\xe2\x80\x93", "\xe2\x97\x8b"};

static int status_of(const cJSON *row) {
    for (int i = 0; i < 4; i++)
        if (!strcmp(report_text(row, "status"), classes[i])) return i;
    return VERIFY_SKIPPED;
}

static void text(FILE *f, const char *s) {
    for (; *s; s++) switch (*s) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*s, f);
        }
}

/* -- the matrix ---------------------------------------------------------------------------------------------------------------- */

static int column_of(page *p, int report, const char *device, const char *variant) {
    for (int i = 0; i < p->columns; i++)
        if (p->column[i].report == report && !strcmp(p->column[i].device, device) && !strcmp(p->column[i].variant, variant)) return i;
    if (p->columns == COLUMNS) return -1;
    p->column[p->columns] = (column){report, device, variant};
    return p->columns++;
}

static int line_of(page *p, const char *mode, const char *op) {
    int at = p->lines;
    for (int i = 0; i < p->lines; i++) {
        if (strcmp(p->line[i].mode, mode)) continue;
        if (!strcmp(p->line[i].op, op)) return i;
        at = i + 1; /* behind the mode's others */
    }
    if (p->lines == LINES) return -1;
    memmove(&p->line[at + 1], &p->line[at], (size_t)(p->lines - at) * sizeof *p->line);
    memmove(&p->cell[(at + 1) * COLUMNS], &p->cell[at * COLUMNS], (size_t)(p->lines - at) * COLUMNS * sizeof *p->cell);
    memset(&p->cell[at * COLUMNS], 0, COLUMNS * sizeof *p->cell);
    p->line[at] = (line){mode, op};
    p->lines++;
    return at;
}

static ssa_status put(page *p, int report, const cJSON *row, ssa_error *err) {
    int at = line_of(p, report_text(row, "mode"), report_text(row, "op")),
        across = column_of(p, report, report_text(row, "device"), report_text(row, "variant"));
    if (at < 0 || across < 0)
        return ssa_fail(err, SSA_ERR_INPUT, "the reports have more than %d devices and variants, or %d operations", COLUMNS, LINES);
    cell  *c = &p->cell[at * COLUMNS + across];
    int    status = status_of(row);
    double error = report_number(row, "error"), limit = report_number(row, "limit"), share = limit > 0 ? error / limit : 0,
           ulp = report_number(row, "ulp");
    if (c->rows == c->capacity) {
        int           capacity = c->capacity ? 2 * c->capacity : 16;
        const cJSON **grown = realloc(c->row, (size_t)capacity * sizeof *grown);
        if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the page");
        c->row = grown;
        c->capacity = capacity;
    }
    c->row[c->rows++] = row;
    c->count[status]++;
    if (status != VERIFY_OK) return SSA_OK;
    if (share > c->share) {
        c->share = share;
        c->error = error;
    }
    if (ulp > c->ulp) c->ulp = ulp;
    return SSA_OK;
}

/* Columns of a device side by side, in the order in which its variants came. */
static void sort_columns(page *p) {
    for (int i = 1; i < p->columns; i++)
        for (int k = i; k > 0; k--) {
            column *a = &p->column[k - 1], *b = &p->column[k];
            bool    together = a->report == b->report && !strcmp(a->device, b->device), earlier = false;
            for (int e = 0; e < k - 1; e++) earlier |= p->column[e].report == b->report && !strcmp(p->column[e].device, b->device);
            if (together || !earlier) break;
            column swap = *a;
            *a = *b;
            *b = swap;
            for (int l = 0; l < p->lines; l++) {
                cell  *x = &p->cell[l * COLUMNS + k], kept = *x;
                *x = x[-1];
                x[-1] = kept;
            }
        }
}

static const cJSON *record(const page *p, const column *c) {
    const cJSON *o;
    cJSON_ArrayForEach(o, cJSON_GetObjectItem(p->report[c->report], "devices"))
        if (!strcmp(report_text(o, "device"), c->device)) return o;
    return NULL;
}

static bool same_device(const column *a, const column *b) { return a->report == b->report && !strcmp(a->device, b->device); }

/* used: the columns that have anything under the mode at hand */
static void head(const page *p, const bool *used) {
    FILE *f = p->out;
    fprintf(f, "<thead><tr><th rowspan=2 class=corner>operation</th>");
    for (int i = 0, n; i < p->columns; i += n) {
        const cJSON *r = record(p, &p->column[i]);
        int          shown = used[i];
        for (n = 1; i + n < p->columns && same_device(&p->column[i], &p->column[i + n]); n++) shown += used[i + n];
        if (!shown) continue;
        fprintf(f, "<th colspan=%d class=device title=\"", shown);
        text(f, r ? report_text(r, "description") : "");
        fprintf(f, "\"><b>");
        text(f, p->column[i].device);
        fprintf(f, "</b><span>");
        text(f, r && *report_text(r, "name") ? report_text(r, "name") : r ? report_text(r, "description") : "");
        fprintf(f, "</span></th>");
    }
    fprintf(f, "</tr><tr>");
    for (int i = 0; i < p->columns; i++) {
        if (!used[i]) continue;
        fprintf(f, "<th class=variant>");
        text(f, *p->column[i].variant ? p->column[i].variant : "\xe2\x80\x94");
        fprintf(f, "</th>");
    }
    fprintf(f, "</tr></thead>\n");
}

static int worst_status(const cell *c) {
    return c->count[VERIFY_FAILED]        ? VERIFY_FAILED
           : c->count[VERIFY_OK]          ? VERIFY_OK
           : c->count[VERIFY_UNSUPPORTED] ? VERIFY_UNSUPPORTED
                                          : VERIFY_SKIPPED;
}

static double weight(const cJSON *row) { /* failed first, then the reasons, then by error */
    static const double by_status[] = {0, 1e9, 1e6, 1e5};
    double              error = report_number(row, "error"), limit = report_number(row, "limit");
    return by_status[status_of(row)] + (limit > 0 && isfinite(error) ? fmin(error / limit, 1e3) : isfinite(error) ? 0 : 1);
}

static int heavier(const void *a, const void *b) {
    double x = weight(*(const cJSON *const *)a), y = weight(*(const cJSON *const *)b);
    return (x < y) - (x > y);
}

static void number(FILE *f, const cJSON *row, const char *name) {
    double v = report_number(row, name);
    if (isfinite(v)) fprintf(f, "<td>%.2g</td>", v);
    else fprintf(f, "<td></td>");
}

static void behind(const page *p, int at, int across) {
    FILE *f = p->out;
    cell *c = &p->cell[at * COLUMNS + across];
    qsort(c->row, (size_t)c->rows, sizeof *c->row, heavier);
    fprintf(f, "<div popover id=c%d_%d><h3>", at, across);
    text(f, p->line[at].op);
    fprintf(f, " <small>");
    text(f, p->line[at].mode);
    fprintf(f, " \xc2\xb7 ");
    text(f, p->column[across].device);
    fprintf(f, " \xc2\xb7 ");
    text(f, p->column[across].variant);
    fprintf(f, "</small></h3><p>");
    for (int i = 0, said = 0; i < 4; i++)
        if (c->count[i]) fprintf(f, "%s%d %s", said++ ? ", " : "", c->count[i], classes[i]);
    fprintf(f,
            "%s</p><div class=scroll><table class=rows><tr><th></th><th>case</th><th>output</th><th>error</th><th>limit</th><th>ULP</th><th>device / "
            "f64</th>"
            "<th>CPU / f64</th><th>reason</th></tr>",
            c->rows > SHOWN ? "; the first of them:" : "");
    for (int i = 0; i < c->rows && i < SHOWN; i++) {
        const cJSON *row = c->row[i];
        int          status = status_of(row);
        fprintf(f, "<tr><td class=%s>%s</td><td>", classes[status], marks[status]);
        text(f, report_text(row, "dtype"));
        fprintf(f, " ");
        text(f, report_text(row, "case"));
        fprintf(f, "</td><td>");
        text(f, report_text(row, "output"));
        fprintf(f, "</td>");
        number(f, row, "error");
        number(f, row, "limit");
        number(f, row, "ulp");
        number(f, row, "err_device_vs_f64");
        number(f, row, "err_cpu_vs_f64");
        fprintf(f, "<td class=reason>");
        text(f, report_text(row, "reason"));
        fprintf(f, "</td></tr>");
    }
    fprintf(f, "</table></div></div>\n");
}

static void show_cell(const page *p, int at, int across) {
    FILE       *f = p->out;
    const cell *c = &p->cell[at * COLUMNS + across];
    if (!c->rows) {
        fprintf(f, "<td class=none></td>");
        return;
    }
    int         status = worst_status(c);
    const char *near = status == VERIFY_OK && c->share > 0.1 ? " near" : "";
    fprintf(f, "<td class=\"%s%s\"><button popovertarget=c%d_%d title=\"", classes[status], near, at, across);
    for (int i = 0, said = 0; i < 4; i++)
        if (c->count[i]) fprintf(f, "%s%d %s", said++ ? ", " : "", c->count[i], classes[i]);
    if (c->ulp > 0) fprintf(f, "; at most %.3g ULP", c->ulp);
    if (c->share > 0) fprintf(f, "; worst %.2g of its limit", c->share);
    if (status != VERIFY_OK) {
        const cJSON *first = c->row[0];
        for (int i = 0; i < c->rows; i++)
            if (status_of(c->row[i]) == status) { first = c->row[i]; break; }
        fprintf(f, "; ");
        text(f, report_text(first, "reason"));
    }
    fprintf(f, "\"><span><i>%s</i> ", marks[status]);
    if (status == VERIFY_FAILED) fprintf(f, "%d</span><small>of %d</small>", c->count[VERIFY_FAILED], c->rows);
    else if (status == VERIFY_OK && c->error > 0) fprintf(f, "%.0e</span><small>%d</small>", c->error, c->count[VERIFY_OK]);
    else if (status == VERIFY_OK) fprintf(f, "=</span><small>%d</small>", c->count[VERIFY_OK]);
    else fprintf(f, "</span><small>%d</small>", c->rows);
    fprintf(f, "</button></td>");
}

static const char *what_of(const char *mode) {
    static const char *const words[][2] = {{"ops", "against the CPU, random data, odd shapes"},
                                           {"exact", "data whose sums are representable: bit for bit as on the CPU"},
                                           {"grad", "gradients: finite differences in f64, and the CPU's"},
                                           {"golden", "outputs of the authors' own code"},
                                           {"determinism", "the same bits twice, alone and beside other work"},
                                           {"stress", "random cases"},
                                           {"kernel", "a user's kernel in the place of ours"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i][0], mode)) return words[i][1];
    return "";
}

/* A mode's lines from `first` on; returns the line behind them. */
static int matrix(page *p, int first) {
    FILE *f = p->out;
    bool  used[COLUMNS] = {false};
    int   end = first;
    for (; end < p->lines && !strcmp(p->line[end].mode, p->line[first].mode); end++)
        for (int k = 0; k < p->columns; k++) used[k] |= p->cell[end * COLUMNS + k].rows > 0;
    fprintf(f, "<h2>");
    text(f, p->line[first].mode);
    fprintf(f, " <small>%s</small></h2>\n<div class=scroll><table class=matrix>\n", what_of(p->line[first].mode));
    head(p, used);
    fprintf(f, "<tbody>");
    for (int i = first; i < end; i++) {
        fprintf(f, "<tr><th>");
        text(f, p->line[i].op);
        fprintf(f, "</th>");
        for (int k = 0; k < p->columns; k++)
            if (used[k]) show_cell(p, i, k);
        fprintf(f, "</tr>\n");
    }
    fprintf(f, "</tbody></table></div>\n");
    for (int i = first; i < end; i++)
        for (int k = 0; k < p->columns; k++)
            if (p->cell[i * COLUMNS + k].rows) behind(p, i, k);
    return end;
}

/* -- the rest of the page ------------------------------------------------------------------------------------------------------ */

static void value(FILE *f, const cJSON *v) {
    const cJSON *o;
    if (cJSON_IsString(v)) text(f, v->valuestring);
    else if (cJSON_IsNumber(v)) fprintf(f, "%.15g", v->valuedouble);
    else if (cJSON_IsBool(v)) fprintf(f, cJSON_IsTrue(v) ? "yes" : "no");
    else cJSON_ArrayForEach(o, v) {
        fprintf(f, "<span class=chip>");
        if (cJSON_IsObject(v)) fprintf(f, "%s ", o->string);
        value(f, o);
        fprintf(f, "</span> ");
    }
}

static void devices(const page *p) {
    FILE        *f = p->out;
    const cJSON *o, *v;
    fprintf(f, "<h2>Devices</h2>\n");
    for (int i = 0; i < p->reports; i++)
        cJSON_ArrayForEach(o, cJSON_GetObjectItem(p->report[i], "devices")) {
            fprintf(f, "<details><summary><b>");
            text(f, report_text(o, "device"));
            fprintf(f, "</b> ");
            text(f, *report_text(o, "description") ? report_text(o, "description") : report_text(o, "name"));
            fprintf(f, "</summary><table class=record>");
            cJSON_ArrayForEach(v, o) {
                fprintf(f, "<tr><th>%s</th><td>", v->string);
                value(f, v);
                fprintf(f, "</td></tr>");
            }
            fprintf(f, "</table></details>\n");
        }
}

static void failure(const page *p, const cJSON *row) {
    FILE  *f = p->out;
    double error = report_number(row, "error"), limit = report_number(row, "limit");
    fprintf(f, "<li><b>");
    text(f, report_text(row, "op"));
    fprintf(f, "</b> ");
    text(f, report_text(row, "dtype"));
    fprintf(f, " ");
    text(f, report_text(row, "case"));
    fprintf(f, ": ");
    text(f, report_text(row, "output"));
    fprintf(f, " <small>");
    text(f, report_text(row, "mode"));
    fprintf(f, " \xc2\xb7 ");
    text(f, report_text(row, "device"));
    fprintf(f, " \xc2\xb7 ");
    text(f, report_text(row, "variant"));
    if (isfinite(error) && isfinite(limit)) fprintf(f, " \xc2\xb7 error %.2g, limit %.2g", error, limit);
    fprintf(f, "</small><br>");
    text(f, report_text(row, "reason"));
    fprintf(f, "</li>\n");
}

/* The first few in full view, the others behind a line; a broken device has thousands. */
static void failures(const page *p, int failed) {
    enum { VIEW = 8, MOST = 300 };
    const cJSON *row;
    int          shown = 0;
    if (!failed) return;
    fprintf(p->out, "<h2>What failed</h2><ul class=bad>");
    for (int i = 0; i < p->reports; i++)
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(p->report[i], "rows")) {
            if (status_of(row) != VERIFY_FAILED || ++shown > MOST) continue;
            if (shown == VIEW + 1)
                fprintf(p->out, "</ul><details><summary>%d more%s</summary><ul class=bad>", failed - VIEW,
                        failed > MOST ? ", the first of them" : "");
            failure(p, row);
        }
    fprintf(p->out, "</ul>%s\n", failed > VIEW ? "</details>" : "");
}

static const char *const style =
    ":root{--bg:#fff;--ink:#1b1f24;--dim:#69707a;--line:#d9dde2;--soft:#f3f5f7;--ok:#d3efd9;--okink:#0d5a26;--near:#f6eebb;--nearink:#645200;"
    "--bad:#c62a2f;--badink:#fff;--un:#e3e8f4;--unink:#3d4c74;--skip:#eceef0;--skipink:#767d86}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--ink:#e4e7ea;--dim:#98a0a9;--line:#343a41;--soft:#1d2125;--ok:#173d25;--okink:#a5e3b8;"
    "--near:#4a4216;--nearink:#f0e39a;--bad:#e5484d;--badink:#fff;--un:#262f47;--unink:#b3c2ea;--skip:#24292e;--skipink:#8b939c}}"
    "*{box-sizing:border-box}body{margin:0 auto;padding:1.2rem clamp(.7rem,3vw,2.5rem) 4rem;max-width:120rem;background:var(--bg);color:var(--ink);"
    "font:15px/1.45 system-ui,-apple-system,Segoe UI,Roboto,sans-serif}h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .6rem}"
    "h3{margin:0 0 .3rem;font-size:1rem}p{margin:.3rem 0}small{color:var(--dim);font-weight:400}.lead{color:var(--dim);max-width:70rem}"
    ".sum{display:flex;flex-wrap:wrap;gap:.5rem;margin:.9rem 0}.sum span{padding:.25rem .7rem;border-radius:1rem;font-weight:600}"
    ".scroll{overflow-x:auto;max-width:100%}table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}"
    ".matrix{border:1px solid var(--line);border-radius:.4rem}.matrix th,.matrix td{border-bottom:1px solid var(--line);border-right:1px solid "
    "var(--line)}"
    ".matrix th{text-align:left;font-weight:500;padding:.15rem .6rem;background:var(--soft);white-space:nowrap}"
    ".matrix tbody th,.corner{position:sticky;left:0;z-index:1}.matrix .device{text-align:center;line-height:1.25;padding:.35rem .5rem}"
    ".device b{display:block}.device "
    "span{display:block;font-size:.75rem;color:var(--dim);white-space:normal;max-width:16rem;margin:auto;overflow-wrap:anywhere}"
    ".matrix .variant{font-size:.78rem;text-align:center;color:var(--dim);padding:.15rem .4rem}"
    ".matrix button{all:unset;box-sizing:border-box;cursor:pointer;display:flex;justify-content:space-between;gap:.5rem;width:100%;padding:.2rem "
    ".5rem;white-space:nowrap;min-width:5.2rem}"
    ".matrix button:hover,.matrix button:focus-visible{outline:2px solid var(--ink);outline-offset:-2px}.matrix i{font-style:normal;font-weight:700}"
    ".matrix button small{color:inherit;opacity:.75}"
    ".ok{background:var(--ok);color:var(--okink)}.near{background:var(--near);color:var(--nearink)}.failed{background:var(--bad);color:var(--badink)}"
    ".zero{background:var(--soft);color:var(--dim)}.unsupported{background:var(--un);color:var(--unink)}.skipped{background:var(--skip);color:var(--"
    "skipink)}"
    ".rows th,.rows td,.record th,.record td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}"
    ".rows th,.record th{color:var(--dim);font-weight:500;white-space:nowrap}.rows td{white-space:nowrap}.rows "
    ".reason{white-space:normal;min-width:16rem}"
    ".bad{list-style:none;margin:.4rem 0;padding:0 .2rem}.bad li{border-left:4px solid var(--bad);padding:.1rem 0 .1rem .7rem;margin:.45rem "
    "0;overflow-wrap:anywhere}"
    "[popover]{display:none}[popover]:popover-open{display:block;position:fixed;inset:auto 0 0 "
    "0;margin:auto;width:min(96vw,80rem);max-height:70vh;overflow:auto;"
    "background:var(--bg);color:var(--ink);border:1px solid var(--line);border-radius:.6rem .6rem 0 0;padding:1rem;box-shadow:0 -6px 30px #0005}"
    "details{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0}summary{cursor:pointer;padding:.45rem .8rem;overflow-wrap:anywhere}"
    ".record{margin:0 .8rem .8rem}.record td{overflow-wrap:anywhere}.chip{display:inline-block;background:var(--soft);border:1px solid var(--line);"
    "border-radius:.3rem;padding:0 .35rem;margin:.1rem 0;font-size:.85rem}@media(max-width:600px){body{font-size:14px}.matrix "
    "button{min-width:4.4rem;padding:.2rem .3rem}"
    ".device span{max-width:9rem}}";

static void write_page(page *p) {
    FILE        *f = p->out;
    const cJSON *row;
    int          total[4] = {0};
    for (int i = 0; i < p->reports; i++)
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(p->report[i], "rows")) total[status_of(row)]++;
    fprintf(f, "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">"
               "<title>ssa verify: %s</title><style>%s</style>\n<h1>ssa verify</h1>\n", total[VERIFY_FAILED] ? "failed" : "ok", style);
    fprintf(f,
            "<p class=lead>Every operation of the table on every device and kernel variant, against the CPU. A cell shows the error (NMSE) that came "
            "nearest to its limit, and the number of results; \xe2\x80\x9c=\xe2\x80\x9d: bit for bit equal. Hover for a summary, click for the "
            "cases.</p>\n<p class=lead>");
    for (int i = 0; i < p->reports; i++) {
        if (i) fprintf(f, "<br>");
        text(f, report_text(p->report[i], "time"));
        fprintf(f, ", seed %.15g, %s cases", report_number(p->report[i], "seed"),
                cJSON_IsTrue(cJSON_GetObjectItem(p->report[i], "full")) ? "all" : "quick");
        double seconds = report_number(p->report[i], "seconds");
        if (isfinite(seconds)) fprintf(f, ", %.0f s", seconds);
        if (!*report_text(p->report[i], "limits")) continue;
        fprintf(f, ", limits ");
        text(f, report_text(p->report[i], "limits"));
    }
    fprintf(f, "</p>\n<div class=sum>");
    for (int i = 0; i < 4; i++) fprintf(f, "<span class=%s>%s %d %s</span>", total[i] ? classes[i] : "zero", marks[i], total[i], classes[i]);
    fprintf(f, "</div>\n");
    failures(p, total[VERIFY_FAILED]);
    for (int i = 0; i < p->lines;) i = matrix(p, i);
    devices(p);
    fprintf(f, "</html>\n");
}

ssa_status report_html(const cJSON *const *reports, int count, const char *path, ssa_error *err) {
    page        *p = calloc(1, sizeof *p);
    report_file  file;
    const cJSON *row;
    ssa_status   status = SSA_OK;
    if (p) p->cell = calloc((size_t)(LINES + 1) * COLUMNS, sizeof *p->cell);
    if (!p || !p->cell) {
        free(p);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the page");
    }
    p->report = reports;
    p->reports = count;
    for (int i = 0; i < count && !status; i++)
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(reports[i], "rows"))
            if (!status) status = put(p, i, row, err);
    sort_columns(p);
    if (!status) status = report_file_open(&file, path, err);
    if (!status) {
        p->out = file.out;
        write_page(p);
        status = report_file_close(&file, err);
    }
    for (int i = 0; i < p->lines * COLUMNS; i++) free(p->cell[i].row);
    free(p->cell);
    free(p);
    return status;
}
