/* What stands above the machinery of verify.h: a session over devices, kernel variants and modes, whose rows become the report.
 *
 *   session.c      the report in memory (a JSON tree), the console, the time budget; whether anything was verified
 *   reasons.c      why rows are not ok, each reason once
 *   variants.c     opens a device once for each kernel variant it can be made to run
 *   modes.c        ops, exact, grad, golden, stress, all
 *   determinism.c  operations and a training twice, also beside other work
 *   kernel.c       a user's kernel in the place of one of ours
 *   kernels.c      which kernels an operation launches, and their list
 *   report.c, report_html.c, compare_runs.c   JSON, CSV, HTML; two reports side by side */
#ifndef SSA_VERIFY_SESSION_H
#define SSA_VERIFY_SESSION_H

#include "reasons.h"
#include <cjson/cJSON.h>

enum { SESSION_FORMAT = 1, SESSION_DEVICES = 20 };

typedef struct session_tally {
    int    count[4];       /* by verify_status */
    double share, ulp;     /* largest error / limit, largest ULP */
} session_tally;

typedef struct session {
    verify_options options;             /* filter, full, seed, dtypes */
    double         budget, started;     /* seconds; 0: no budget */
    double         deadline;            /* of the pass at hand; 0: none */
    cJSON         *report, *rows, *records;
    const char    *golden[32];          /* paths for golden */
    int            goldens;
    int64_t        cases, only_case;    /* stress: how many; one alone, or -1 */
    const char    *kernel_file, *kernel_as;
    bool           first, stop;         /* --first: stop is set by the first row that failed */
    bool           everything;          /* mode all: passes do not repeat each other */
    const char    *limits;              /* --limits */
    session_tally  tally[SSA_OP_COUNT + 1]; /* of the pass at hand; the last: what is no operation */
    reason_list    reasons;             /* of the pass at hand */
    ssa_error      unverified;          /* the first device or operation of which nothing was verified */
    const char    *mode, *device;       /* of the pass at hand */
    int            total[4];
} session;

ssa_status session_open(session *s, ssa_error *err);
void       session_close(session *s);

/* A pass: one mode on one device. `share` of the remaining budget is its own; its lines are printed at its end. */
void session_begin(session *s, const char *mode, const char *device, double share);
void session_tell(const session *s, const char *format, ...) __attribute__((format(printf, 2, 3))); /* what is being done: options.activity */
/* How many rows were ok. An operation that is unsupported in all its rows is noted in s->unverified. */
int session_end(session *s);
/* Seconds left to the pass, as verify_options wants them. */
double session_left(const session *s);
bool   session_over(const session *s);    /* none are left, or the user wants it to end */
bool   session_interrupted(const session *s); /* the latter */

void session_row(void *user, const verify_row *row); /* a verify_callback; user: the session */
void session_note(session *s, const char *op, const char *text, const char *variant, verify_status status, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Every device there is, or those named in "a,b"; adds their capability records to the report. */
ssa_status session_devices(session *s, const char *names, char device[SESSION_DEVICES][32], int *count, ssa_error *err);

/* Opens the device once for each variant of its kernels and calls run. ops, dtypes: what the variant is for (NULL, 0: all). */
typedef ssa_status (*session_run)(session *s, ssa_context *ctx, const verify_options *options, ssa_error *err);
ssa_status session_variants(session *s, const char *device, session_run run, ssa_error *err);
/* Opens the device as it is. Not there: a row says so, *out is NULL. */
ssa_status session_context(session *s, const char *device, const ssa_open_options *options, ssa_context **out, ssa_error *err);

/* The modes; device: as in session_devices. */
ssa_status mode_ops(session *s, const char *device, ssa_error *err);
ssa_status mode_exact(session *s, const char *device, ssa_error *err);
ssa_status mode_grad(session *s, const char *device, ssa_error *err);
ssa_status mode_golden(session *s, const char *device, ssa_error *err);
ssa_status mode_determinism(session *s, const char *device, ssa_error *err);
ssa_status mode_stress(session *s, const char *device, ssa_error *err);
ssa_status mode_kernel(session *s, const char *device, ssa_error *err); /* device: one of kernel_api's */
const char *kernel_api(const char *path); /* "vulkan" or "opencl" by the file's ending, or NULL */
/* A case's operands without contents, outputs that share an input's memory as the case says. To be freed after a failure too. */
typedef struct case_operands { int count; ssa_tensor t[SSA_MAX_OPERANDS], owned[SSA_MAX_OPERANDS]; } case_operands;
ssa_status case_operands_create(ssa_context *ctx, const verify_case *c, ssa_dtype act, case_operands *out);
void       case_operands_free(ssa_context *ctx, case_operands *o);
/* Names the kernels that a case launches (a dry lowering on operands without contents). */
ssa_status kernels_of_case(ssa_context *ctx, const verify_case *c, ssa_dtype act, void (*each)(void *user, const char *kernel), void *user);
/* Prints every kernel of a device with the operations that launch it, a line each; device "auto": vulkan, or else opencl. */
ssa_status kernels_list(const char *device, ssa_error *err);
int        mode_busy(const char *device); /* keeps a device busy until killed */

/* Reports. html takes several and puts them side by side. */
ssa_status report_json(const cJSON *report, const char *path, ssa_error *err);
ssa_status report_csv(const cJSON *report, const char *path, ssa_error *err);
ssa_status report_html(const cJSON *const *reports, int count, const char *path, ssa_error *err);
ssa_status report_read(const char *path, cJSON **out, ssa_error *err);
/* What differs in B from A: 0 nothing got worse, 1 something did. */
ssa_status compare_runs(const cJSON *a, const cJSON *b, FILE *out, bool *worse, ssa_error *err);

/* Of a row or record: "" or NAN where it is not there. */
const char *report_text(const cJSON *object, const char *name);
double      report_number(const cJSON *object, const char *name);

#endif
